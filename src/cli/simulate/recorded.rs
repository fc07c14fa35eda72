//! Reads recordings of `hearth serve --record` from disk, chunk by chunk.
//!
//! Tells what a file is if it is none, where it is damaged, and whether it was cut off. What records mean is
//! `hearth_logic::recording`'s business.

use super::super::failure::Failure;
use hearth_logic::recording::{self, Broken, Decoder, FRAME, HEADER_MAX, Header, Record};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::vec;

/// Why a file cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The disk says no.
    #[error("{file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What it says.
        source: io::Error,
    },
    /// The beginning is that of something else.
    #[error("{file}: {source}")]
    Header {
        /// Which file.
        file: String,
        /// What it is instead.
        source: Broken,
    },
    /// Damaged.
    #[error("{file}: damaged after {records} records, in the chunk at byte {byte}: {source}")]
    Damaged {
        /// Which file.
        file: String,
        /// Sound records before.
        records: u64,
        /// Where.
        byte: u64,
        /// How.
        source: Broken,
    },
}

/// The records of a file. It ends where the file ends; whether that is where the recording ended, its last record says.
pub(super) struct Records {
    name: String,
    file: BufReader<File>,
    byte: u64,
    size: u64,
    decoder: Decoder,
    chunk: vec::IntoIter<Record>,
    is_over: bool,
}

impl Records {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<(Header, Self), Failure> {
        let name = path.display().to_string();
        let io = |source| ReadError::Io { file: name.clone(), source };
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut file = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        (&mut file).take(HEADER_MAX as u64).read_until(b'\n', &mut line).map_err(io)?;
        let header =
            Header::parse(&line).map_err(|source| ReadError::Header { file: name.clone(), source })?;
        let byte = line.len() as u64;
        let (decoder, chunk) = (Decoder::default(), Vec::new().into_iter());
        Ok((header, Self { name, file, byte, size, decoder, chunk, is_over: false }))
    }

    /// How many thousandths of the file are read.
    pub(super) fn permille(&self) -> u64 {
        self.byte.saturating_mul(1_000).checked_div(self.size).unwrap_or(1_000)
    }

    /// The next chunk; `None` if the file ends before or within it.
    fn fill(&mut self) -> Result<Option<Vec<Record>>, ReadError> {
        let mut frame = [0; FRAME];
        if !self.read(&mut frame)? {
            return Ok(None);
        }
        let damaged = |records, source| {
            let (file, byte) = (self.name.clone(), self.byte);
            ReadError::Damaged { file, records, byte, source }
        };
        let length = recording::announced(frame).map_err(|why| damaged(self.decoder.count(), why))?;
        let mut bytes = vec![0; length];
        if !self.read(&mut bytes)? {
            return Ok(None);
        }
        let before = self.decoder.count();
        let chunk = self.decoder.chunk(frame, &bytes).map_err(|why| {
            let (file, byte) = (self.name.clone(), self.byte);
            ReadError::Damaged { file, records: before, byte, source: why }
        })?;
        self.byte += (FRAME + length) as u64;
        Ok(Some(chunk))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<bool, ReadError> {
        match self.file.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(source) => Err(ReadError::Io { file: self.name.clone(), source }),
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.chunk.next() {
                return Some(Ok(record));
            }
            if self.is_over {
                return None;
            }
            match self.fill() {
                Ok(Some(chunk)) => self.chunk = chunk.into_iter(),
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
