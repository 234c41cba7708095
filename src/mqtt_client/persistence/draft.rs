//! A file to try things on: it is read, and what is written stays in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend;

const BLOCK: usize = 4096;

#[derive(Debug)]
pub(super) struct Draft(Mutex<State>);

#[derive(Debug)]
struct State {
    file: File,
    /// How much of the file counts.
    file_len: u64,
    len: u64,
    written: HashMap<u64, Vec<u8>>,
}

impl Draft {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self(Mutex::new(State { file, file_len: len, len, written: HashMap::new() })))
    }

    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// A block as it is now; zeros where nothing was written.
    fn block(&mut self, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = self.written.get(&number) {
            return Ok(block.clone());
        }
        let mut block = Vec::with_capacity(BLOCK);
        let start = number * BLOCK as u64;
        let left = self.file_len.saturating_sub(start).min(BLOCK as u64);
        self.file.seek(SeekFrom::Start(start))?;
        self.file.by_ref().take(left).read_to_end(&mut block)?;
        block.resize(BLOCK, 0);
        Ok(block)
    }

    /// Goes through the blocks of a range: gives each with the part of the range that lies in it.
    fn each(
        &mut self,
        offset: u64,
        len: usize,
        mut work: impl FnMut(&mut [u8], std::ops::Range<usize>) -> bool,
    ) -> io::Result<()> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut at = offset;
        while at < end {
            let number = at / BLOCK as u64;
            let next = ((number + 1) * BLOCK as u64).min(end);
            let mut block = self.block(number)?;
            let from = usize::try_from(at % BLOCK as u64).unwrap_or(BLOCK);
            let to = from + usize::try_from(next - at).unwrap_or(0);
            let done = usize::try_from(at - offset).unwrap_or(len);
            let place = block.get_mut(from..to).ok_or(io::ErrorKind::InvalidInput)?;
            if work(place, done..done + (to - from)) {
                self.written.insert(number, block);
            }
            at = next;
        }
        Ok(())
    }
}

impl StorageBackend for Draft {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|state| state.len))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|state| {
            state.each(offset, out.len(), |place, range| {
                if let Some(out) = out.get_mut(range) {
                    out.copy_from_slice(place);
                }
                false
            })
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state| {
            if len < state.len {
                let cut = len % BLOCK as u64;
                let mut last = state.block(len / BLOCK as u64)?;
                last.iter_mut().skip(usize::try_from(cut).unwrap_or(BLOCK)).for_each(|byte| *byte = 0);
                state.file_len = state.file_len.min(len);
                state.written.retain(|number, _| number * (BLOCK as u64) < len);
                state.written.insert(len / BLOCK as u64, last);
            }
            state.len = len;
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|state| {
            state.each(offset, data.len(), |place, range| {
                if let Some(data) = data.get(range) {
                    place.copy_from_slice(data);
                }
                true
            })
        })
    }
}
