"""What differs between reinforcement learning and supervised problems, behind one interface."""
