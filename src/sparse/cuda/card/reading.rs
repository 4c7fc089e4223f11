//! Memory of the processor's that a card reads: in place where it can, else a copy.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Card;
use crate::sparse::cuda::error::CudaError;
use crate::sparse::cuda::machine::{Address, Machine, Reads, Tier};
use crate::sparse::cuda::staging::Registered;

/// What is read in place begins at a multiple of this, as in memory of the card's own: kernels read words.
const ALIGNED: usize = 64;

impl Card {
    /// See [`Machine::reading`].
    pub(super) fn read_by(
        &mut self,
        bytes: &[u8],
        first: Tier,
        work: &mut Reads<'_>,
    ) -> Result<Tier, CudaError> {
        self.apart("read memory of the processor's")?;
        let (begin, length) = (bytes.as_ptr().addr(), bytes.len() as u64);
        let in_place = begin.is_multiple_of(ALIGNED) && length > 0;
        if in_place
            && first <= Tier::Mapped
            && self.facts.pageable_access
            && self.facts.host_page_tables
        {
            self.lend(Address(begin as u64), length, work)?;
            return Ok(Tier::Mapped);
        }
        if in_place
            && first <= Tier::Registered
            && self.registers
            && let Some(registered) = Registered::of(self.driver, bytes)
        {
            self.lend(Address(registered.at), length, work)?;
            return Ok(Tier::Registered);
        }
        let copy = self.allocate(length)?;
        let done = self.upload(copy, bytes).and_then(|()| work(self, copy));
        let settled = done.and_then(|()| self.wait());
        self.release(copy);
        settled.map(|()| Tier::Staged)
    }

    /// Runs `work`, whose launches may read the processor's memory that begins at `at`, and waits until nothing reads it any
    /// more, even if `work` panics: who lent it may then take it back.
    fn lend(&mut self, at: Address, bytes: u64, work: &mut Reads<'_>) -> Result<(), CudaError> {
        self.lent.push((at.0, bytes));
        let done = catch_unwind(AssertUnwindSafe(|| work(self, at)));
        self.lent.pop();
        if self.capture.is_some() {
            // Nobody can wait while launches are recorded. No recording was given the address.
            let unfinished = self.end();
            unfinished.into_iter().for_each(|recording| self.forget(recording));
        }
        let settled = self.wait();
        match done {
            Ok(done) => done.and(settled),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Whether a launch may read there. A recording may not: it would read when the memory is gone.
    pub(super) fn lends(&self, at: Address) -> bool {
        let inside = |&(begin, bytes): &(u64, u64)| (begin..=begin + bytes).contains(&at.0);
        self.capture.is_none() && self.lent.iter().any(inside)
    }
}
