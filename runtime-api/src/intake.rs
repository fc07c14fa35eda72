//! Reading a body that a function posts, without trusting it.
//!
//! It exists so that the bound on what a function can make the daemon hold stands in one place: a body is counted while
//! it is read, never more than the limit is kept, and all bodies of one environment together draw on one budget. It does
//! not look at what a body says.

use crate::exchange::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that all bodies of one environment may hold together.
#[derive(Clone, Debug)]
pub struct Budget {
    left: Arc<AtomicUsize>,
}

impl Budget {
    /// Of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// For one body, which has drawn nothing yet.
    #[must_use]
    pub fn open(&self) -> Share {
        Share { left: Arc::clone(&self.left), taken: 0 }
    }
}

/// What one body has drawn from the budget; given back when dropped.
#[derive(Debug)]
pub struct Share {
    left: Arc<AtomicUsize>,
    taken: usize,
}

impl Share {
    /// Draws so many bytes more; false if there are not so many left.
    pub fn take(&mut self, bytes: usize) -> bool {
        let took =
            self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes));
        if took.is_ok() {
            self.taken += bytes;
        }
        took.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.left.fetch_add(self.taken, Ordering::AcqRel);
    }
}

/// Why a body was not read, beyond what the lifecycle wants to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The environment holds too many bodies at once; only a function that misbehaves gets here.
    OverBudget,
}

/// Reads a body of at most `limit` bytes. A body announced to be longer is not touched.
pub(crate) async fn read(body: &mut Incoming, limit: usize, share: &mut Share) -> Result<Body, Unread> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Ok(Body::TooLarge);
    }
    // Most bodies come in one piece, which is then handed on as it is.
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Ok(Body::Truncated) };
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len() + rest.len() + data.len();
        if length > limit {
            return Ok(Body::TooLarge);
        }
        if !share.take(data.len()) {
            return Err(Unread::OverBudget);
        }
        if length == data.len() {
            first = data;
            continue;
        }
        if !first.is_empty() {
            // Reserved but untouched pages cost nothing, so an announced length may be believed here.
            rest.reserve(announced.max(length));
            rest.extend_from_slice(&first);
            first = Bytes::new();
        }
        rest.extend_from_slice(&data);
    }
    Ok(Body::Whole(if rest.is_empty() { first } else { rest.freeze() }))
}

/// Reads and forgets up to `limit` bytes, so that a client that writes first and reads later sees its answer.
/// Tells whether the body ended within the limit.
pub(crate) async fn drain(body: &mut Incoming, limit: usize) -> bool {
    let mut left = limit;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return false;
        }
        left -= length;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_returns_what_it_took() {
        let budget = Budget::new(10);
        let mut one = budget.open();
        let mut two = budget.open();
        assert!(one.take(6));
        assert!(!two.take(5));
        assert!(two.take(4));
        drop(one);
        assert!(two.take(6));
        drop(two);
        assert!(budget.open().take(10));
    }
}
