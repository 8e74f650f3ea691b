"""Gymnasium's pendulum with tasks, under an id of its own."""

from metarl.tasks.foreign_environments import register_tasks

register_tasks(
    "pendulum_tasks:examples/PendulumTasks-v0",
    "Pendulum-v1",
    {
        "gravity": {"attribute": "g", "low": 5.0, "high": 15.0},
        "length": {"attribute": "l", "low": 0.5, "high": 1.5},
    },
)
