use std::fmt;
use std::io;
use std::sync::Mutex;
use std::thread;

use mio::{Poll, Waker};

use super::*;
use crate::mqtt_client::client::DropCause;
use crate::mqtt_client::hub::Hub;
use crate::mqtt_client::shared::Bounds;

/// How long the worker looks for an answer.
const LOOK: Duration = Duration::from_micros(50);

/// Any result that waits is too much here, and so is any message.
fn shared() -> Arc<Shared> {
    shared_with(1)
}

/// So many results may wait here.
fn shared_with(unreported: usize) -> Arc<Shared> {
    let poll = Poll::new().unwrap();
    let waker = Waker::new(poll.registry(), mio::Token(0)).unwrap();
    let bounds = Bounds { commands: 1, bytes: 1, unreported, undelivered: 1, buffer: None };
    Arc::new(Shared::new(Arc::new(Hub::new(waker, "test")), bounds))
}

fn has_unreported(shared: &Shared) -> bool {
    shared.check_bytes(0, usize::MAX).is_err()
}

fn result(token: u64) -> MqttEvent<'static> {
    let cancelled = PublishResult::cancelled(Token(token), 1);
    MqttEvent::Published(PublishResult { outcome: Outcome::Dropped(DropCause::SessionLost), ..cancelled })
}

/// An error of the application that does something when it is shown and when it is dropped.
struct Nosy<F: Fn()>(F);

impl<F: Fn()> fmt::Display for Nosy<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0();
        f.write_str("nosy")
    }
}

impl<F: Fn()> fmt::Debug for Nosy<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nosy")
    }
}

impl<F: Fn()> std::error::Error for Nosy<F> {}

impl<F: Fn()> Drop for Nosy<F> {
    fn drop(&mut self) {
        self.0();
    }
}

fn nosy(see: impl Fn() + Send + Sync + 'static) -> MqttEvent<'static> {
    MqttEvent::Error(io::Error::other(Nosy(see)))
}

#[test]
fn an_outcome_that_comes_in_the_moment_the_callbacks_go_does_not_count_for_ever() {
    let shared = shared();
    let (outlet, dispatcher) = channel(&shared, true);
    let outlet = Arc::new(Mutex::new(outlet));
    let worker = Arc::clone(&outlet);
    let told_late = nosy(move || {
        let mut outlet = worker.lock().unwrap();
        outlet.tell_result(result(2));
        outlet.send(Batch::default(), 0);
        outlet.flush();
    });
    outlet.lock().unwrap().tell(told_late);
    outlet.lock().unwrap().tell_result(result(1));
    outlet.lock().unwrap().flush();
    assert!(has_unreported(&shared));
    drop(dispatcher);
    assert!(!has_unreported(&shared), "nobody hears it any more");
    assert!(!shared.too_much_undelivered());
}

#[test]
fn errors_of_the_application_are_compared_and_dropped_where_the_mail_is_free() {
    let (mut outlet, mut dispatcher) = channel(&shared(), true);
    let seen = Arc::new(Mutex::new(0));
    for _ in 0..600 {
        let (mailbox, seen) = (Arc::clone(&outlet.mailbox), Arc::clone(&seen));
        outlet.tell(nosy(move || {
            mailbox.has_come(&Taken::default());
            *seen.lock().unwrap() += 1;
        }));
        outlet.flush();
    }
    assert!(*seen.lock().unwrap() > 600);
    let mut heard = 0;
    while let Next::Notice(event) = dispatcher.next(Patience::None) {
        assert!(matches!(event, MqttEvent::Error(_)));
        heard += 1;
    }
    // As it was told, and one for all that were alike behind that.
    assert_eq!(heard, 256 + 1);
}

#[test]
fn who_waits_hears_everything_and_then_the_end() {
    const RESULTS: u64 = 2000;
    let shared = shared();
    let (mut outlet, mut dispatcher) = channel(&shared, true);
    let listener = thread::spawn(move || {
        let (mut results, mut news) = (Vec::new(), 0);
        loop {
            match dispatcher.next(Patience::Endless) {
                Next::Notice(MqttEvent::Published(result)) => results.push(result.token.0),
                Next::Notice(_) => news += 1,
                Next::Closed => return (results, news),
                other => panic!("{other:?}"),
            }
        }
    });
    for token in 0..RESULTS {
        outlet.tell_result(result(token));
        outlet.send(Batch::default(), 0);
        outlet.flush();
        // The other one may sleep or look just now.
        if token % 8 == 0 {
            thread::yield_now();
        }
    }
    outlet.tell(MqttEvent::ConnectionLost);
    outlet.flush();
    drop(outlet);
    let (results, news) = listener.join().unwrap();
    assert!(results.into_iter().eq(0..RESULTS));
    assert_eq!(news, 1);
    assert!(!has_unreported(&shared) && !shared.too_much_undelivered());
}

#[test]
fn wherever_the_callbacks_go_nothing_counts_for_ever() {
    for heard in 0..200 {
        let shared = shared();
        let (mut outlet, mut dispatcher) = channel(&shared, true);
        let listener = thread::spawn(move || {
            for _ in 0..heard % 20 {
                dispatcher.next(Patience::Endless);
            }
        });
        for token in 0..50 {
            outlet.tell_result(result(token));
            outlet.tell(MqttEvent::ReconnectAttempt(1));
            outlet.send(Batch::default(), 0);
            outlet.flush();
        }
        listener.join().unwrap();
        assert!(!has_unreported(&shared) && !shared.too_much_undelivered());
    }
}

/// The tokens of the results that have come.
fn results(dispatcher: &mut Dispatcher) -> Vec<u64> {
    let mut tokens = Vec::new();
    loop {
        match dispatcher.next(Patience::None) {
            Next::Results => tokens.extend(dispatcher.take_result().map(|result| result.token.0)),
            Next::Notice(MqttEvent::Published(result)) => tokens.push(result.token.0),
            Next::TimedOut => return tokens,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn that_messages_have_been_sent_waits_once_for_what_is_told_next() {
    let (mut outlet, mut dispatcher) = channel(&shared(), true);
    let now = Instant::now();
    let mut sent = |outlet: &mut Outlet, token| {
        outlet.tell_run(Token(token), 1, Outcome::Sent);
        outlet.flush_unless_quiet(true, now, LOOK);
        (outlet.is_quiet(), results(&mut dispatcher))
    };
    assert_eq!(sent(&mut outlet, 0), (true, vec![]));
    assert_eq!(sent(&mut outlet, 1), (false, vec![0, 1]));
    assert_eq!(sent(&mut outlet, 2), (true, vec![]));
    outlet.tell_result(result(3));
    assert_eq!(sent(&mut outlet, 4), (false, vec![2, 3, 4]));
    // A message takes with it what was told before, and the next ones may wait again.
    assert_eq!(sent(&mut outlet, 5), (true, vec![]));
    outlet.send(Batch::default(), 0);
    assert_eq!(sent(&mut outlet, 6), (true, vec![5]));
}

/// That so many messages are acknowledged; whether it waits then, and how many are told.
struct Acknowledged {
    outlet: Outlet,
    dispatcher: Dispatcher,
    next: u16,
}

impl Acknowledged {
    fn new(unreported: usize) -> Self {
        let (outlet, dispatcher) = channel(&shared_with(unreported), true);
        Self { outlet, dispatcher, next: 0 }
    }

    fn tell(&mut self, count: u16, has_more: bool, now: Instant) -> (bool, usize) {
        let packet_id = PacketId::MIN.after(self.next);
        self.outlet.tell_acknowledged(Token(self.next.into()), QoS::AtLeastOnce, packet_id, count);
        self.next += count;
        self.outlet.flush_unless_quiet(has_more, now, LOOK);
        (self.outlet.is_quiet(), results(&mut self.dispatcher).len())
    }
}

#[test]
fn that_messages_are_acknowledged_waits_for_more_of_them_up_to_a_number() {
    let now = Instant::now();
    let mut acknowledged = Acknowledged::new(10_000);
    for _ in 0..3 {
        assert_eq!([0; 5].map(|_| acknowledged.tell(100, true, now)), [(true, 0); 5]);
        assert_eq!(acknowledged.tell(100, true, now), (false, 600));
    }
    // Those that do not follow each other count as well.
    for _ in 0..5 {
        acknowledged.next += 1;
        assert_eq!(acknowledged.tell(100, true, now), (true, 0));
    }
    acknowledged.next += 1;
    assert_eq!(acknowledged.tell(100, true, now), (false, 600));
    // Half of what may be untold is too much.
    let mut acknowledged = Acknowledged::new(100);
    assert_eq!(acknowledged.tell(49, true, now), (true, 0));
    assert_eq!(acknowledged.tell(1, true, now), (false, 50));
}

#[test]
fn that_messages_are_acknowledged_waits_while_there_is_time_for_another_look_and_more_wait_to_be_sent() {
    let start = Instant::now();
    let mut acknowledged = Acknowledged::new(10_000);
    for millis in [0, 10] {
        let now = start + Duration::from_millis(millis);
        let parts =
            [0, 300, 600, 900, 951].map(|micros| acknowledged.tell(1, true, now + Duration::from_micros(micros)));
        assert_eq!(parts, [(true, 0), (true, 0), (true, 0), (true, 0), (false, 5)]);
    }
    assert_eq!(acknowledged.tell(1, true, start), (true, 0));
    assert_eq!(acknowledged.tell(1, false, start), (false, 2));
}

#[test]
fn other_ends_of_messages_are_told_at_once() {
    let (mut outlet, _dispatcher) = channel(&shared(), true);
    for outcome in [Outcome::Dropped(DropCause::ConnectionLost), Outcome::Cancelled] {
        outlet.tell_run(Token(0), 1, outcome);
        outlet.flush_unless_quiet(true, Instant::now(), LOOK);
        assert!(!outlet.is_quiet());
    }
    outlet.tell_acknowledged(Token(3), QoS::AtLeastOnce, PacketId::MIN, 1);
    outlet.tell_result(result(4));
    outlet.flush_unless_quiet(true, Instant::now(), LOOK);
    assert!(!outlet.is_quiet());
}

#[test]
fn news_is_bounded_where_callbacks_are_slow_and_do_return() {
    let (mut outlet, mut dispatcher) = channel(&shared(), true);
    let error = |number: u32| MqttEvent::Error(io::Error::other(format!("error {number}")));
    let mut last = None;
    for number in 0..3000 {
        outlet.tell(error(number));
        outlet.tell(MqttEvent::ReconnectAttempt(number));
        outlet.flush();
        if number % 4 == 0 {
            assert!(matches!(dispatcher.next(Patience::None), Next::Notice(_)));
        }
        assert!(dispatcher.taken.notices.len() <= 256 + 64 + 1, "{number}");
    }
    while let Next::Notice(event) = dispatcher.next(Patience::None) {
        last = Some(event);
    }
    assert!(matches!(last, Some(MqttEvent::ReconnectAttempt(2999))), "{last:?}");
    assert!(!dispatcher.has_news());
}

#[test]
fn news_that_is_put_together_behind_messages_that_are_held_is_not_waited_for_busily_and_not_lost() {
    let (mut outlet, mut dispatcher) = channel(&shared(), true);
    outlet.send(Batch::default(), 1);
    for number in 0..600 {
        outlet.tell(MqttEvent::ReconnectAttempt(number));
        outlet.flush();
    }
    assert!(matches!(dispatcher.next(Patience::None), Next::TimedOut));
    assert!(!dispatcher.has_news(), "what is there waits for the message");
    outlet.release(1);
    assert!(dispatcher.has_news());
    drop(outlet);
    let mut told = 0;
    while let Next::Notice(_) = dispatcher.next(Patience::Endless) {
        told += 1;
    }
    assert_eq!(told, 256 + 1);
}
