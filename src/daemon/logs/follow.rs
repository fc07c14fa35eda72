//! A group's events as they come: from a place in its files to their end, in the order in which they were written.
//!
//! For whoever watches. Nothing is told to watchers by the writer: they come back and read on.

use super::{LogEvent, Logs};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// A place between two events of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    file: u64,
    offset: u64,
}

impl Logs {
    /// The place after everything that is in a group. Blocks.
    pub(crate) fn end(&self, group: &str) -> io::Result<Cursor> {
        self.gather(group);
        let sources = self.sources(group)?;
        let Some(last) = sources.last() else { return Ok(Cursor::default()) };
        let length = last.open()?.map_or(Ok(0), |file| file.metadata().map(|data| data.len()))?;
        Ok(Cursor { file: last.number, offset: length })
    }

    /// The events after a place, at most about so many bytes of them, and the place after those. Blocks.
    pub(crate) fn after(
        &self,
        group: &str,
        cursor: Cursor,
        bytes_max: u64,
    ) -> io::Result<(Vec<LogEvent>, Cursor)> {
        self.gather(group);
        let sources = self.sources(group)?;
        let (mut events, mut cursor, mut left) = (Vec::new(), cursor, bytes_max);
        if sources.last().is_none_or(|last| last.number < cursor.file) {
            // The group was deleted; if it comes again, it begins again.
            cursor = Cursor::default();
        }
        for source in &sources {
            if source.number < cursor.file {
                continue;
            }
            if left == 0 {
                break;
            }
            let Some(mut file) = source.open()? else { continue };
            if source.number > cursor.file {
                cursor = Cursor { file: source.number, offset: 0 };
            }
            let length = file.metadata()?.len();
            // Shorter than it was: emptied for its age, or another group's of the same name.
            cursor.offset = if cursor.offset > length { 0 } else { cursor.offset };
            file.seek(SeekFrom::Start(cursor.offset))?;
            let mut reader = BufReader::with_capacity(64 * 1024, file.take(length - cursor.offset));
            let mut line = Vec::new();
            while left > 0 {
                line.clear();
                let read = reader.read_until(b'\n', &mut line)? as u64;
                if read == 0 || line.last() != Some(&b'\n') {
                    break;
                }
                events.extend(serde_json::from_slice::<LogEvent>(&line));
                cursor.offset += read;
                left = left.saturating_sub(read);
            }
        }
        Ok((events, cursor))
    }
}
