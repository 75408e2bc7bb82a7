"""What every Ringfence process shares; imports nothing else of ours."""
