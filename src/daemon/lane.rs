//! A bounded queue whose senders may not wait: what does not fit stands in line behind it, and the order of what one sender
//! says stays the order in which it is heard.
//!
//! A task per message that waits for room would not do: of two such tasks the later one may get the room first, and who
//! hears of an end before its beginning loses something. What stands in line is not bounded here but by who sends: news of
//! environments by the environments there are, settings by the requests under way; whoever can be told to come again
//! uses [`Lane::offer`], which takes nothing while anything stands in line.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{self, error::TrySendError};

/// The sending end; clones are of the same lane.
pub(super) struct Lane<T> {
    queue: mpsc::Sender<T>,
    rest: Arc<Rest<T>>,
}

struct Rest<T> {
    line: Mutex<VecDeque<T>>,
    /// Somebody carries the line over: all that is sent goes behind it.
    is_carried: AtomicBool,
}

impl<T> Clone for Lane<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), rest: Arc::clone(&self.rest) }
    }
}

impl<T> Rest<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next in line; without one the lane is free again. Both under one lock, so that nothing joins in between.
    fn next(&self) -> Option<T> {
        let mut line = self.lock();
        let next = line.pop_front();
        if next.is_none() {
            self.is_carried.store(false, Ordering::Release);
        }
        next
    }
}

impl<T: Send + 'static> Lane<T> {
    /// A queue of that many.
    pub(super) fn new(size: usize) -> (Self, mpsc::Receiver<T>) {
        let (queue, receiver) = mpsc::channel(size);
        let rest = Rest { line: Mutex::default(), is_carried: AtomicBool::new(false) };
        (Self { queue, rest: Arc::new(rest) }, receiver)
    }

    /// Sends without waiting, behind all that this sender has sent. Must be called within the runtime.
    pub(super) fn send(&self, message: T) {
        let mut message = message;
        if !self.rest.is_carried.load(Ordering::Acquire) {
            match self.queue.try_send(message) {
                Err(TrySendError::Full(back)) => message = back,
                // Without a receiver there is nobody to tell.
                Ok(()) | Err(TrySendError::Closed(_)) => return,
            }
        }
        let mut line = self.rest.lock();
        line.push_back(message);
        if !self.rest.is_carried.swap(true, Ordering::AcqRel) {
            drop(line);
            tokio::spawn(self.clone().carry());
        }
    }

    async fn carry(self) {
        while let Some(message) = self.rest.next() {
            if self.queue.send(message).await.is_err() {
                // The receiver is gone, and with it whoever would have cared.
                self.rest.lock().clear();
            }
        }
    }

    /// Sends if there is room and nothing stands in line; gives it back otherwise.
    pub(super) fn offer(&self, message: T) -> Result<(), T> {
        if self.rest.is_carried.load(Ordering::Acquire) {
            return Err(message);
        }
        self.queue.try_send(message).map_err(TrySendError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_one_sender_says_is_heard_in_its_order_however_full_the_queue_is() {
        const SENDERS: u64 = 8;
        const EACH: u64 = 2_000;
        let (lane, mut receiver) = Lane::new(4);
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let lane = lane.clone();
                tokio::spawn(async move {
                    for number in 0..EACH {
                        lane.send((sender, number));
                        if number % 7 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        let mut next = [0; SENDERS as usize];
        for _ in 0..SENDERS * EACH {
            let (sender, number) = receiver.recv().await.expect("is sent");
            let expected = &mut next[usize::try_from(sender).expect("is small")];
            assert_eq!(number, *expected, "of sender {sender}");
            *expected += 1;
        }
        for sender in senders {
            sender.await.expect("ends");
        }
        assert!(receiver.try_recv().is_err());
    }

    #[tokio::test]
    async fn who_can_come_again_never_passes_by_what_stands_in_line() {
        let (lane, mut receiver) = Lane::new(1);
        lane.send(1);
        lane.send(2);
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(lane.offer(3), Err(3), "2 has not been carried over yet");
        assert_eq!(receiver.recv().await, Some(2));
        // The carrier has to see that nothing is left.
        while let Err(back) = lane.offer(4) {
            assert_eq!(back, 4);
            tokio::task::yield_now().await;
        }
        assert_eq!(receiver.recv().await, Some(4));
    }

    #[tokio::test]
    async fn without_a_receiver_nothing_is_kept() {
        let (lane, receiver) = Lane::new(1);
        lane.send(1);
        lane.send(2);
        lane.send(3);
        drop(receiver);
        while lane.rest.is_carried.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert!(lane.rest.lock().is_empty());
        assert_eq!(lane.offer(4), Err(4));
    }
}
