//! The loop: batches, loss, optimiser, schedule.
