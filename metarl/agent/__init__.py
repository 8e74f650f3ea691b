"""What an agent is, and the pieces that agents share. It knows no process and no run folder."""
