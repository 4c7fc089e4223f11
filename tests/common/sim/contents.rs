//! The bytes of a simulated file, in pages that copies share: an image of a disk costs pointers.

use std::io;
use std::sync::Arc;

const PAGE: usize = 4096;
/// No simulated file is longer, whatever a damaged database asks for.
const MOST: u64 = 1 << 32;

type Page = Arc<[u8; PAGE]>;

/// What a file holds. A page that was never written is not there, and reads as zeros; behind the
/// end of the file every byte is zero.
#[derive(Clone, Default)]
pub struct Contents {
    size: u64,
    pages: Vec<Option<Page>>,
}

impl Contents {
    pub fn of(bytes: &[u8]) -> Self {
        let mut contents = Self::default();
        contents.write_at(0, bytes).unwrap();
        contents
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap()];
        self.read_at(0, &mut bytes).unwrap();
        bytes
    }

    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut done) = (offset as usize, 0);
        while done < out.len() {
            let within = at % PAGE;
            let count = (PAGE - within).min(out.len() - done);
            let part = &mut out[done..done + count];
            match &self.pages[at / PAGE] {
                Some(page) => part.copy_from_slice(&page[within..within + count]),
                None => part.fill(0),
            }
            (at, done) = (at + count, done + count);
        }
        Ok(())
    }

    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        if end > self.size {
            self.set_size(end)?;
        }
        let (mut at, mut done) = (offset as usize, 0);
        while done < bytes.len() {
            let within = at % PAGE;
            let count = (PAGE - within).min(bytes.len() - done);
            let page = self.pages[at / PAGE].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[within..within + count].copy_from_slice(&bytes[done..done + count]);
            (at, done) = (at + count, done + count);
        }
        Ok(())
    }

    pub fn set_size(&mut self, size: u64) -> io::Result<()> {
        if size > MOST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.pages.resize((size as usize).div_ceil(PAGE), None);
        let within = size as usize % PAGE;
        if size < self.size
            && within > 0
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[within..].fill(0);
        }
        self.size = size;
        Ok(())
    }
}

impl PartialEq for Contents {
    fn eq(&self, other: &Self) -> bool {
        let zeros = |page: &Page| page.iter().all(|&byte| byte == 0);
        let same = |pair: (&Option<Page>, &Option<Page>)| match pair {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
            (Some(page), None) | (None, Some(page)) => zeros(page),
            (None, None) => true,
        };
        self.size == other.size && self.pages.iter().zip(&other.pages).all(same)
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.size {
            0..=64 => write!(out, "{:?}", String::from_utf8_lossy(&self.bytes())),
            size => write!(out, "{size} bytes"),
        }
    }
}
