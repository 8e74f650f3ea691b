"""Who collects, and where: shards of tasks and the pools they live in. It knows no agent and no
run folder.
"""
