//! An environment's last word.

use super::course::last_word;
use super::*;
use crate::daemon::decisions::tests::revision;
use crate::daemon::scheduler::{Order, SchedulerHandle};

#[tokio::test]
async fn what_was_assigned_to_a_dead_environment_is_given_back_before_its_death_is_told() {
    let (handle, mut heard) = SchedulerHandle::new();
    let (sender, mut receiver) = mpsc::channel(INBOX_MAX);
    let (invocation, mut reply) = Invocation::sample(7, &Arc::new(revision("f")));
    assert!(sender.try_send(Message::Deliver(invocation)).is_ok());
    assert!(sender.try_send(Message::Shutdown).is_ok());
    last_word(EnvironmentId(3), &mut receiver, &handle.of_environment()).await;
    assert!(sender.try_send(Message::Shutdown).is_err(), "it takes nothing any more");
    let Some(Order::Told(Told::GivenBack { environment: EnvironmentId(3), invocation })) = heard.recv().await
    else {
        panic!("it is not given back");
    };
    assert_eq!(invocation.id.0, 7);
    assert!(reply.try_recv().is_err(), "and not answered");
    let died = heard.recv().await;
    assert!(matches!(died, Some(Order::Told(Told::Died { environment: EnvironmentId(3) }))));
}
