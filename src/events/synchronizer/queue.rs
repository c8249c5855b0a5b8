//! Events that were decoded, and the changes that the table makes of them.

use crate::{
    events::{
        Change,
        table::{ChangeKind, FlowTable, HashedKey},
    },
    model::{EventKind, Flow, Tuple},
};

/// A queue of changes, and after them the events that are about to become changes, each in the place of its change.
///
/// ```text
/// places │ taken │ changes that wait │ decoded events │ spare │
///        0     first                end     end + events.len()
/// ```
///
/// Spare and taken places are blank. A change is 464 bytes long, and it is copied once: when it is taken. Copies of what
/// was just decoded, in small pieces, would have to wait until the processor has written these to its cache.
#[derive(Debug, Default)]
pub(super) struct ChangeQueue {
    places: Vec<Change>,
    first: usize,
    end: usize,
    events: Vec<(EventKind, HashedKey)>,
}

/// Spare places that are kept when no change waits.
const MOST_SPARE: usize = 256;

fn blank() -> Change {
    let flow = Flow::new(Tuple::UNSPECIFIED, Tuple::UNSPECIFIED);
    Change { kind: ChangeKind::Changed, inferred: false, flow }
}

impl ChangeQueue {
    /// Whether no change waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// Takes the first change.
    ///
    /// The copy comes last: then the compiler makes it in the memory of the caller, and only once.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Change> {
        let place = self.places.get_mut(self.first..self.end)?.first_mut()?;
        self.first += 1;
        Some(core::mem::replace(place, blank()))
    }

    /// Begins again with the first place if no change waits, and gives up most spare places. No event is decoded at this
    /// time.
    ///
    /// A batch of events calls it once. In [`pop`](Self::pop), it would have to follow the copy.
    pub(super) fn rewind(&mut self) {
        if self.is_empty() {
            (self.first, self.end) = (0, 0);
            self.places.truncate(MOST_SPARE);
        }
    }

    pub(super) fn clear(&mut self) {
        while self.pop().is_some() {}
    }

    /// Adds a change. No event is decoded at this time.
    pub(super) fn push(&mut self, change: Change) {
        if let Some(place) = self.next_place() {
            *place = change;
            self.end += 1;
        }
    }

    /// Decodes an event after the others. It is left out if it fails.
    #[inline]
    pub(super) fn push_event<E>(
        &mut self,
        kind: EventKind,
        table: &FlowTable,
        decode: impl FnOnce(&mut Flow) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(place) = self.next_place() else { return Ok(()) };
        if let Err(error) = decode(&mut place.flow) {
            *place = blank();
            return Err(error);
        }
        let key = table.key(&place.flow);
        self.events.push((kind, key));
        Ok(())
    }

    /// Updates the table from the events, and makes changes of them.
    pub(super) fn apply_events(&mut self, table: &mut FlowTable) {
        table.read_ahead(self.events.iter().map(|(_, key)| key));
        let (mut vanished, mut at) = (Vec::new(), self.end);
        for (kind, key) in self.events.drain(..) {
            let Some(change) = self.places.get_mut(at) else { return };
            let is_change = table.follow(kind, &key, change, &mut vanished);
            if !is_change {
                *change = blank();
            }
            if !vanished.is_empty() {
                let (end, count) = (self.end, vanished.len());
                self.places.splice(end..end, vanished.drain(..));
                (self.end, at) = (end + count, at + count);
            }
            if is_change {
                // They differ after an event that was not a change.
                if at != self.end {
                    self.places.swap(at, self.end);
                }
                self.end += 1;
            }
            at += 1;
        }
    }

    /// The place after the decoded events.
    #[inline]
    fn next_place(&mut self) -> Option<&mut Change> {
        let next = self.end + self.events.len();
        if next == self.places.len() {
            self.places.push(blank());
        }
        self.places.get_mut(next)
    }
}

impl Extend<Change> for ChangeQueue {
    fn extend<I: IntoIterator<Item = Change>>(&mut self, changes: I) {
        changes.into_iter().for_each(|change| self.push(change));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flows of few tuples, translated to few others: each event is about the known flow of its tuple, another flow of the
    /// tuple, or one that takes the reply tuple of another.
    fn event(number: u32) -> (EventKind, Flow) {
        let choice = |place: u32, count: u32| (number.wrapping_mul(0x9e37_79b1) >> (8 * place)) % count;
        let port = |place| choice(place, 3) as u16;
        let original = Tuple::udp(([10, 0, 0, 1], port(0)).into(), ([10, 0, 0, 2], 53).into());
        let reply = Tuple::udp(([10, 0, 0, 2], 53).into(), ([192, 0, 2, 1], port(1)).into());
        let flow = Flow { id: Some(choice(2, 2)), mark: Some(choice(3, 2)), ..Flow::new(original, reply) };
        ([EventKind::New, EventKind::Update, EventKind::Destroy][choice(3, 3) as usize], flow)
    }

    #[test]
    fn batches_make_the_same_changes_as_single_events() {
        let (mut expected, mut single) = (Vec::new(), FlowTable::new());
        let (mut seen, mut table, mut queue) = (Vec::new(), FlowTable::new(), ChangeQueue::default());
        for batch in 0..1000_u32 {
            queue.rewind();
            for number in 0..batch % 17 {
                let (kind, flow) = event(batch * 17 + number);
                // Something of an event that does not decode must not appear in the next one.
                let failed = queue.push_event(kind, &table, |place| {
                    place.clone_from(&flow);
                    Err("cannot decode")
                });
                assert_eq!(failed, Err("cannot decode"));
                let decoded = queue.push_event(kind, &table, |place| {
                    assert_eq!(*place, blank().flow);
                    place.clone_from(&flow);
                    Ok::<(), &str>(())
                });
                assert_eq!(decoded, Ok(()));
                single.apply_flow(kind, flow, &mut expected);
            }
            queue.apply_events(&mut table);
            let taken = if batch % 3 == 0 { 2 } else { usize::MAX };
            seen.extend(core::iter::from_fn(|| queue.pop()).take(taken));
        }
        seen.extend(core::iter::from_fn(|| queue.pop()));
        assert_eq!(seen, expected);
        assert!(expected.iter().any(|change| change.inferred && change.kind == ChangeKind::Vanished));
        assert!(queue.is_empty() && queue.places.iter().all(|place| *place == blank()));
        // Each inferred end adds a place.
        queue.rewind();
        assert!(queue.places.len() <= MOST_SPARE, "{} places", queue.places.len());
    }

    #[test]
    fn cleared_queue_is_blank() {
        let mut queue = ChangeQueue::default();
        queue.extend((0..3).map(|number| Change { flow: event(number).1, ..blank() }));
        queue.clear();
        assert!(queue.is_empty() && queue.places.iter().all(|place| *place == blank()));
    }
}
