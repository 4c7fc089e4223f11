//! Memory of the processor's that a kernel reads.

use unlearn::sparse::cuda::{CudaError, Machine, Reads, Tier};

use super::{Emulator, refused};

impl Emulator {
    /// Lends a copy, between pages that nobody may touch, and finds out what was written there. The tier is what a card
    /// of these facts would take.
    pub(super) fn read_copy(
        &mut self,
        bytes: &[u8],
        first: Tier,
        work: &mut Reads<'_>,
    ) -> Result<Tier, CudaError> {
        self.ready("read memory of the processor's")?;
        let copy = self.allocate(bytes.len() as u64)?;
        self.upload(copy, bytes)?;
        let mut after = vec![0; bytes.len()];
        let done = work(self, copy).and_then(|()| self.download(copy, &mut after));
        self.release(copy);
        done?;
        if after != bytes {
            return Err(refused("read memory of the processor's", "it was written to"));
        }
        let maps = self.facts.pageable_access && self.facts.host_page_tables;
        Ok(if maps && first == Tier::Mapped { Tier::Mapped } else { Tier::Staged })
    }
}
