//! Workers in reserve: threads of the runtime that work only while the others have no rest.
//!
//! An invocation that stays on one thread saves its wake-ups, which are most of what a single caller waits for; many
//! callers at once are more than one thread can serve. So half of the cores' workers work always, and the others are held
//! back, each by a task that blocks it, until invocations come so fast that workers hardly sleep between them.
//!
//! A worker that blocks may leave the runtime's sockets and timers unattended, if it was the one that waited for them: the
//! others sleep and do not know. Therefore each sends the others something to do once it can take nothing itself; whoever
//! takes that finds the sockets free before it sleeps again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// So many invocations make one judgement.
pub(crate) const JUDGED: u64 = 64;
/// Workers that sleep less often than this during that many invocations cannot keep up. One caller at a time makes
/// them sleep three times for each invocation.
const SLEEPS_CALL: u64 = JUDGED / 4;
/// Workers that sleep more often than this can do without the reserve.
const SLEEPS_DISMISS: u64 = JUDGED * 3 / 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Held,
    Called,
    Ended,
}

/// The reserve of one runtime.
#[derive(Clone)]
pub(crate) struct Reserve(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// For workers that are held.
    called: Condvar,
    /// For those that are not.
    dismissed: Notify,
    runtime: Handle,
}

struct State {
    mode: Mode,
    /// How often the workers had slept at the last judgement.
    sleeps: u64,
}

/// Lets the workers go when the daemon ends: a runtime cannot stop one that is held.
pub(crate) struct Term(Reserve);

impl Drop for Term {
    fn drop(&mut self) {
        self.0.change(Mode::Ended);
    }
}

impl Reserve {
    /// Holds `workers` of this runtime back, which must be fewer than it has.
    pub(crate) fn hold(workers: usize) -> (Self, Term) {
        let inner = Inner {
            state: Mutex::new(State { mode: Mode::Held, sleeps: 0 }),
            called: Condvar::new(),
            dismissed: Notify::new(),
            runtime: Handle::current(),
        };
        let reserve = Self(Arc::new(inner));
        for _ in 0..workers {
            tokio::spawn(reserve.clone().serve());
        }
        (reserve.clone(), Term(reserve))
    }

    /// Decides whether the reserve is needed, once every `JUDGED` invocations.
    pub(crate) fn judge(&self) {
        let metrics = self.0.runtime.metrics();
        let sleeps = (0..metrics.num_workers()).map(|worker| metrics.worker_park_count(worker)).sum();
        let mut state = self.state();
        let slept = sleeps - std::mem::replace(&mut state.sleeps, sleeps);
        let mode = judgement(state.mode, slept);
        if mode != state.mode {
            drop(state);
            self.change(mode);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, mode: Mode) {
        let mut state = self.state();
        if state.mode != Mode::Ended {
            state.mode = mode;
        }
        drop(state);
        self.0.called.notify_all();
        self.0.dismissed.notify_waiters();
    }

    /// The task of one worker: blocks whichever runs it while the reserve is held.
    async fn serve(self) {
        loop {
            let dismissed = self.0.dismissed.notified();
            tokio::pin!(dismissed);
            // From here on no news is missed.
            dismissed.as_mut().enable();
            let mode = self.state().mode;
            match mode {
                Mode::Ended => return,
                Mode::Held if self.leave_to_others() => self.wait(),
                // Without a thread there is no holding back: it stays at work until the next news.
                Mode::Held | Mode::Called => dismissed.await,
            }
        }
    }

    /// Wakes another worker, from outside: what this one starts itself may be kept for itself.
    fn leave_to_others(&self) -> bool {
        let runtime = self.0.runtime.clone();
        let name = std::thread::Builder::new().name("hearth-reserve".to_owned());
        let waker = name.spawn(move || drop(runtime.spawn(std::future::ready(()))));
        waker.is_ok_and(|waker| waker.join().is_ok())
    }

    fn wait(&self) {
        let held = self.0.called.wait_while(self.state(), |state| state.mode == Mode::Held);
        drop(held.unwrap_or_else(PoisonError::into_inner));
    }
}

/// What becomes of the reserve after `JUDGED` invocations during which workers slept so often.
fn judgement(mode: Mode, slept: u64) -> Mode {
    match mode {
        Mode::Held if slept < SLEEPS_CALL => Mode::Called,
        Mode::Called if slept > SLEEPS_DISMISS => Mode::Held,
        Mode::Held | Mode::Called | Mode::Ended => mode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn the_reserve_is_called_by_unrest_and_dismissed_by_rest() {
        assert_eq!(judgement(Mode::Held, 3 * JUDGED), Mode::Held);
        assert_eq!(judgement(Mode::Held, 0), Mode::Called);
        assert_eq!(judgement(Mode::Called, JUDGED / 2), Mode::Called);
        assert_eq!(judgement(Mode::Called, 3 * JUDGED), Mode::Held);
        assert_eq!(judgement(Mode::Ended, 0), Mode::Ended);
    }

    async fn echo(listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {}
            });
        }
    }

    async fn traffic(reserve: Reserve, rounds: usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has one");
        let echo = tokio::spawn(echo(listener));
        let mut stream = TcpStream::connect(address).await.expect("connects");
        for round in 0..rounds {
            reserve.change(if round % 2 == 0 { Mode::Called } else { Mode::Held });
            for byte in 0..3 {
                stream.write_all(&[byte]).await.expect("writes");
                stream.read_exact(&mut [0]).await.expect("is answered");
            }
            if round % 16 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        echo.abort();
    }

    #[test]
    fn sockets_and_timers_are_attended_however_often_the_reserve_comes_and_goes() {
        for (workers, held) in [(2, 1), (4, 2), (4, 3)] {
            let (done, wait) = std::sync::mpsc::sync_channel(1);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(workers)
                .enable_all()
                .build()
                .expect("builds");
            let (reserve, term) = runtime.block_on(async { Reserve::hold(held) });
            runtime.spawn(async move {
                traffic(reserve, 1000).await;
                done.send(()).ok();
            });
            let finished = wait.recv_timeout(PATIENCE);
            drop(term);
            runtime.shutdown_timeout(PATIENCE);
            assert_eq!(finished, Ok(()), "{workers} workers, {held} of them held");
        }
    }
}
