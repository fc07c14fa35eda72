//! The timer of one connection's requests: how long a client may take over a head.
//!
//! hyper asks for a new sleep with each head and drops it when the head is there, which is at once in nearly all cases;
//! entering and leaving tokio's table of timers each time was a hundredth of a warm call. Here the sleep stays in the
//! table, set for an old deadline: if it ends there, it is set for the one that counts by then.

use crate::daemon::clock;
use hyper::rt::{Sleep, Timer};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

type Kept = Pin<Box<tokio::time::Sleep>>;

/// A timer for one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience(Arc<Mutex<Option<Kept>>>);

impl Patience {
    fn kept(&self) -> Option<Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Timer for Patience {
    fn sleep(&self, duration: std::time::Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let deadline = deadline.into();
        // One that is set for later would not wake in time.
        let kept = self.kept().filter(|kept| kept.deadline() <= deadline);
        let inner = kept.unwrap_or_else(|| Box::pin(tokio::time::sleep_until(deadline)));
        Box::pin(Lent { inner: Some(inner), deadline, home: self.clone() })
    }

    fn now(&self) -> Instant {
        clock::instant(clock::now()).into()
    }
}

/// A sleep until `deadline` on a timer that may be set for earlier.
struct Lent {
    inner: Option<Kept>,
    deadline: tokio::time::Instant,
    home: Patience,
}

impl Sleep for Lent {}

impl Future for Lent {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        // Only gone when dropped.
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(()) };
        loop {
            ready!(inner.as_mut().poll(cx));
            if inner.deadline() >= deadline {
                return Poll::Ready(());
            }
            inner.as_mut().reset(deadline);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let inner = self.inner.take().filter(|inner| !inner.is_elapsed());
        *self.home.0.lock().unwrap_or_else(PoisonError::into_inner) = inner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_sleep_on_a_kept_timer_does_not_end_before_its_own_deadline() {
        let patience = Patience::default();
        drop(patience.sleep(SHORT / 2));
        assert!(patience.0.lock().expect("not poisoned").is_some(), "it is kept");
        for _ in 0..3 {
            let deadline = patience.now() + SHORT;
            patience.sleep_until(deadline).await;
            assert!(patience.now() >= deadline);
        }
    }

    #[tokio::test]
    async fn a_timer_that_is_set_for_later_is_not_used_for_a_shorter_sleep() {
        let patience = Patience::default();
        drop(patience.sleep(Duration::from_secs(3600)));
        patience.sleep(SHORT).await;
        drop(patience.sleep(SHORT));
        let kept = patience.kept().expect("it is kept");
        assert!(kept.deadline() < clock::instant(clock::now()) + Duration::from_secs(60));
    }
}
