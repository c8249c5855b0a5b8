//! The queues of messages to send, and of messages that were sent and not acknowledged.

use std::collections::{HashMap, VecDeque};

use super::{
    expectation::Subject,
    wire::{Kind, Range},
};

/// A control message that has to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Acknowledge(Range),
    Missing(Range),
    Resync,
}

/// A message without its content: its subject is written as it is when its turn comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Data(Subject),
    Control(Control),
}

/// Where a subject stands that the peer does not have yet as it is now.
#[derive(Clone, Copy, Debug)]
struct State {
    kind: Kind,
    /// Whether the peer may have heard of the subject. If not, its end need not be sent.
    known: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the queue of waiting subjects, under this ticket.
    Waiting(u64),
    /// Sent with this number, and not acknowledged.
    Sent(u32),
}

/// The queues of one direction.
///
/// A subject is at most once in both queues together, in the place that its state names: entries that no state names are
/// left over and are skipped. So the queues hold at most the subjects of the table, those that the peer knows and that ended
/// since, and as many left-over entries again.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    states: HashMap<Subject, State>,
    controls: VecDeque<Control>,
    waiting: VecDeque<(u64, Subject)>,
    /// In the order of their numbers, which wrap around.
    sent: VecDeque<(u32, Item)>,
    next_ticket: u64,
}

/// Control messages that wait. More are only caused by a peer that skips numbers on purpose.
const MOST_CONTROLS: usize = 4096;
/// Left-over entries that are not worth a search.
const FEW: usize = 1024;

impl Outbox {
    /// Notes a change.
    pub(super) fn note(&mut self, subject: Subject, kind: Kind) {
        let old = self.states.get(&subject).copied();
        let known = kind != Kind::New || old.is_some_and(|old| old.known);
        match old {
            // The peer has not heard of the subject, and need not.
            Some(State { known: false, place: Place::Waiting(_), .. }) if kind == Kind::Delete => {
                self.states.remove(&subject);
            }
            Some(State { kind: before, known, place: place @ Place::Waiting(_) }) => {
                let kind = match (before, kind) {
                    (Kind::New, Kind::Update) | (Kind::Delete, Kind::Update) => Kind::New,
                    _ => kind,
                };
                self.states.insert(subject, State { kind, known, place });
            }
            Some(State { place: Place::Sent(_), .. }) => self.wait(subject, kind, true),
            None => self.wait(subject, kind, known),
        }
        self.drop_leftovers();
    }

    /// Notes a subject of a table that is sent again: the peer may have heard of it long ago.
    pub(super) fn note_again(&mut self, subject: Subject) {
        self.note(subject.clone(), Kind::New);
        if let Some(state) = self.states.get_mut(&subject) {
            state.known = true;
        }
    }

    fn wait(&mut self, subject: Subject, kind: Kind, known: bool) {
        self.next_ticket += 1;
        self.states.insert(subject.clone(), State { kind, known, place: Place::Waiting(self.next_ticket) });
        self.waiting.push_back((self.next_ticket, subject));
    }

    /// Queues a control message. Returns false if there are too many. Requests are so rare that there is always room.
    pub(super) fn control(&mut self, control: Control) -> bool {
        let has_room = self.controls.len() < MOST_CONTROLS || control == Control::Resync;
        if has_room {
            self.controls.push_back(control);
        }
        has_room
    }

    /// Takes the next message. Data follow control messages.
    pub(super) fn take(&mut self, with_data: bool) -> Option<Item> {
        if let Some(control) = self.controls.pop_front() {
            return Some(Item::Control(control));
        }
        if !with_data {
            return None;
        }
        loop {
            let (ticket, subject) = self.waiting.pop_front()?;
            if self.states.get(&subject).is_some_and(|state| state.place == Place::Waiting(ticket)) {
                return Some(Item::Data(subject));
            }
        }
    }

    /// Returns a message that was taken to the front of its queue.
    pub(super) fn put_back(&mut self, item: Item) {
        match item {
            Item::Control(control) => self.controls.push_front(control),
            Item::Data(subject) => {
                if let Some(State { place: Place::Waiting(ticket), .. }) = self.states.get(&subject) {
                    self.waiting.push_front((*ticket, subject));
                }
            }
        }
    }

    /// Returns the change to report of a subject that was taken.
    pub(super) fn kind(&self, subject: &Subject) -> Kind {
        self.states.get(subject).map_or(Kind::Update, |state| state.kind)
    }

    /// Forgets a message that was taken and sent.
    pub(super) fn forget(&mut self, item: &Item) {
        if let Item::Data(subject) = item {
            self.states.remove(subject);
        }
    }

    /// Keeps a message that was taken and sent until it is acknowledged.
    pub(super) fn keep(&mut self, sequence: u32, item: Item) {
        if let Item::Data(subject) = &item
            && let Some(state) = self.states.get_mut(subject)
        {
            (state.place, state.known) = (Place::Sent(sequence), true);
        }
        self.sent.push_back((sequence, item));
    }

    /// Returns whether a sent message still counts.
    fn is_current(states: &HashMap<Subject, State>, sequence: u32, item: &Item) -> bool {
        match item {
            Item::Data(subject) => states.get(subject).is_some_and(|state| state.place == Place::Sent(sequence)),
            Item::Control(_) => true,
        }
    }

    /// The messages of the range arrived.
    pub(super) fn acknowledge(&mut self, range: Range) {
        for (_, item) in self.take_sent(range) {
            self.forget(&item);
        }
    }

    /// The messages of the range did not arrive: they are sent again. Returns how many.
    pub(super) fn missing(&mut self, range: Range) -> usize {
        let taken = self.take_sent(range);
        let count = taken.len();
        self.send_again(taken);
        count
    }

    /// Sends everything again that was not acknowledged.
    ///
    /// Acknowledgements are left out: a later one tells the peer as much, or the peer sends again.
    pub(super) fn send_everything_again(&mut self) {
        self.send_sent_again(|item| !matches!(item, Item::Control(Control::Acknowledge(_))));
    }

    /// Sends all data again that a peer did not acknowledge before it restarted. Control messages concern a state that is
    /// gone.
    pub(super) fn start_over(&mut self) {
        self.send_sent_again(|item| matches!(item, Item::Data(_)));
    }

    fn send_sent_again(&mut self, is_wanted: impl Fn(&Item) -> bool) {
        let sent = std::mem::take(&mut self.sent).into_iter().filter(|(_, item)| is_wanted(item));
        let current = sent.filter(|(sequence, item)| Self::is_current(&self.states, *sequence, item)).collect();
        self.send_again(current);
    }

    fn send_again(&mut self, items: Vec<(u32, Item)>) {
        for (_, item) in items {
            match item {
                Item::Control(control) => {
                    self.control(control);
                }
                Item::Data(subject) => {
                    if let Some(State { kind, .. }) = self.states.get(&subject).copied() {
                        self.wait(subject, kind, true);
                    }
                }
            }
        }
    }

    /// Removes the messages of a range from the queue of sent messages. Returns the messages that still count.
    fn take_sent(&mut self, Range { from, to }: Range) -> Vec<(u32, Item)> {
        let Some(&(first, _)) = self.sent.front() else { return Vec::new() };
        // Distances from the oldest message are in order although numbers wrap around.
        let distance = |sequence: u32| sequence.wrapping_sub(first).cast_signed();
        let place = |end: i32| self.sent.partition_point(|(sequence, _)| distance(*sequence) < end);
        let (begin, end) = (place(distance(from)), place(distance(to).saturating_add(1)));
        if begin >= end {
            return Vec::new();
        }
        let states = &self.states;
        let taken = self.sent.drain(begin..end).filter(|(number, item)| Self::is_current(states, *number, item));
        let taken = taken.collect();
        self.drop_leftovers();
        taken
    }

    /// Bounds the queues: removes left-over entries when there are more than entries that count.
    fn drop_leftovers(&mut self) {
        let most = 2 * self.states.len() + FEW;
        if self.waiting.len() > most {
            let states = &self.states;
            let place = |subject: &Subject| states.get(subject).map(|state| state.place);
            self.waiting.retain(|(ticket, subject)| place(subject) == Some(Place::Waiting(*ticket)));
        }
        if self.sent.len() > most {
            let states = &self.states;
            self.sent.retain(|(sequence, item)| Self::is_current(states, *sequence, item));
        }
    }

    /// Gives up the oldest acknowledgements and gaps beyond `most` messages that were not acknowledged.
    pub(super) fn bound_sent(&mut self, most: usize) {
        while self.sent.len() > most {
            if let Some((sequence, item)) = self.sent.pop_front()
                && matches!(item, Item::Data(_) | Item::Control(Control::Resync))
                && Self::is_current(&self.states, sequence, &item)
            {
                self.send_again(vec![(sequence, item)]);
            }
        }
    }

    /// Returns the number of messages that were sent and not acknowledged, left-over entries included.
    pub(super) fn unacknowledged(&self) -> usize {
        self.sent.len()
    }

    /// Returns the number of the oldest of these.
    pub(super) fn oldest_unacknowledged(&self) -> Option<u32> {
        self.sent.front().map(|(sequence, _)| *sequence)
    }

    /// Returns whether a message waits.
    pub(super) fn has_waiting(&self, with_data: bool) -> bool {
        !self.controls.is_empty() || with_data && !self.waiting.is_empty()
    }

    /// Returns the number of subjects that wait or were not acknowledged.
    pub(super) fn subjects(&self) -> usize {
        self.states.len()
    }

    /// Returns the number of entries of all queues, which memory depends on.
    #[cfg(any(test, fuzzing))]
    pub(super) fn entries(&self) -> usize {
        self.states.len() + self.controls.len() + self.waiting.len() + self.sent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntrackd::convert::Key;
    use ctnetlink::Tuple;

    fn key(port: u16) -> Subject {
        let tuple = Tuple::udp(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 53).into());
        Key { tuple, zone: 0 }.into()
    }

    fn taken(outbox: &mut Outbox) -> Vec<(u16, Kind)> {
        let mut all = Vec::new();
        while let Some(Item::Data(Subject::Flow(key))) = outbox.take(true) {
            all.push((key.tuple.source_port().unwrap(), outbox.kind(&key.into())));
            outbox.forget(&Item::Data(key.into()));
        }
        all
    }

    fn send_all(outbox: &mut Outbox, mut sequence: u32) {
        while let Some(item) = outbox.take(true) {
            outbox.keep(sequence, item);
            sequence = sequence.wrapping_add(1);
        }
    }

    #[test]
    fn changes_of_a_waiting_flow_collapse() {
        let mut outbox = Outbox::default();
        outbox.note(key(1), Kind::New);
        outbox.note(key(2), Kind::Update);
        outbox.note(key(1), Kind::Update);
        outbox.note(key(3), Kind::Delete);
        outbox.note(key(3), Kind::New);
        outbox.note(key(4), Kind::New);
        outbox.note(key(4), Kind::Delete);
        assert_eq!(taken(&mut outbox), [(1, Kind::New), (2, Kind::Update), (3, Kind::New)]);
    }

    #[test]
    fn lost_messages_are_sent_again_as_they_are_now() {
        let mut outbox = Outbox::default();
        (1..=4).for_each(|port| outbox.note(key(port), Kind::New));
        send_all(&mut outbox, u32::MAX - 1); // 1 and 2 before the wrap, 3 and 4 after it
        outbox.note(key(3), Kind::Delete);
        outbox.acknowledge(Range { from: u32::MAX - 1, to: u32::MAX - 1 });
        assert_eq!(outbox.missing(Range { from: u32::MAX, to: 0 }), 1);
        outbox.acknowledge(Range { from: 1, to: 1000 });
        assert_eq!(taken(&mut outbox), [(3, Kind::Delete), (2, Kind::New)]);
        assert_eq!(outbox.entries(), 0);
    }

    /// Nobody acknowledges anything, and flows come and go.
    #[test]
    fn queues_stay_small_without_a_peer() {
        let mut outbox = Outbox::default();
        for number in 0..200_000_u32 {
            outbox.note(key((number % 50_000) as u16), Kind::New);
            outbox.note(key((number % 50_000) as u16), Kind::Delete);
        }
        assert!(outbox.entries() <= FEW + 1, "{}", outbox.entries());
        outbox.note(key(1), Kind::New);
        for number in 0..10_000 {
            send_all(&mut outbox, number);
            outbox.note(key(1), Kind::Update);
        }
        assert!(outbox.entries() <= FEW + 8, "{}", outbox.entries());
    }

    #[test]
    fn end_of_a_flow_that_waits_to_be_sent_again_is_sent() {
        let mut outbox = Outbox::default();
        outbox.note(key(1), Kind::New);
        send_all(&mut outbox, 7);
        outbox.acknowledge(Range { from: 7, to: 7 });
        outbox.note_again(key(1));
        outbox.note(key(1), Kind::Delete);
        assert_eq!(taken(&mut outbox), [(1, Kind::Delete)]);
    }

    #[test]
    fn restarted_peer_gets_what_was_not_acknowledged() {
        let mut outbox = Outbox::default();
        (1..=3).for_each(|port| outbox.note(key(port), Kind::New));
        send_all(&mut outbox, 7);
        outbox.acknowledge(Range { from: 8, to: 8 });
        outbox.start_over();
        assert_eq!(outbox.unacknowledged(), 0);
        assert_eq!(taken(&mut outbox), [(1, Kind::New), (3, Kind::New)]);
    }

    /// Otherwise, a request whose loss the peer does not notice would never be answered.
    #[test]
    fn requests_that_are_not_acknowledged_are_sent_again() {
        let mut outbox = Outbox::default();
        let (missing, acknowledge) = (Range { from: 1, to: 2 }, Range { from: 3, to: 4 });
        for control in [Control::Resync, Control::Missing(missing), Control::Acknowledge(acknowledge)] {
            outbox.control(control);
        }
        send_all(&mut outbox, 7);
        outbox.send_everything_again();
        let again: Vec<Item> = std::iter::from_fn(|| outbox.take(true)).collect();
        assert_eq!(again, [Control::Resync, Control::Missing(missing)].map(Item::Control));
    }
}
