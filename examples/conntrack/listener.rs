//! The event socket of `-E`.

use std::os::fd::{AsFd, BorrowedFd};

use ctnetlink::{Event, EventGroups, EventKind, EventSocket, sysctl};

use crate::{
    arguments::{Arguments, EventWord, Table, warn},
    events::{Received, Source},
    failure::Outcome,
    selection::Selection,
};

/// Opens the socket, which evaluates the filter. Like conntrack(8), it does so even if the kernel sends no events.
pub fn open(arguments: &Arguments) -> Outcome<Listener> {
    if sysctl::EVENTS.read().is_ok_and(|setting| setting == 0) {
        warn("nf_conntrack_events is 0: the kernel sends no events of flows");
    }
    let filter = Selection::new(arguments)?.filter;
    let mut builder = EventSocket::builder(groups(arguments)).filter(&filter).allow_disabled(true);
    if let Some(bytes) = arguments.buffer_size {
        builder = builder.receive_buffer(bytes);
    }
    Ok(Listener { socket: builder.open()? })
}

pub fn groups(arguments: &Arguments) -> EventGroups {
    if arguments.table == Table::Expect {
        return EventGroups::EXPECTATIONS;
    }
    let asked = arguments.events.iter().fold(EventGroups::empty(), |groups, word| {
        groups
            | match word {
                EventWord::All => EventGroups::FLOWS,
                EventWord::New => EventGroups::NEW,
                EventWord::Updates => EventGroups::UPDATE,
                EventWord::Destroy => EventGroups::DESTROY,
            }
    });
    if asked.is_empty() { EventGroups::FLOWS } else { asked }
}

/// The socket, which yields only the events that were asked for.
pub struct Listener {
    socket: EventSocket,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Source for Listener {
    fn try_next(&mut self) -> Outcome<Option<Received>> {
        loop {
            let event = match self.socket.try_next() {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(error) if error.decode_error().is_some() => {
                    return Ok(Some(Received::Malformed(error.to_string())));
                }
                Err(error) => return Err(error.into()),
            };
            if let Some(received) = convert(event) {
                return Ok(Some(received));
            }
        }
    }

    fn receive_buffer(&self) -> usize {
        self.socket.receive_buffer()
    }
}

/// Converts an event. Returns `None` for kinds of events that are not known yet.
fn convert(event: Event) -> Option<Received> {
    Some(match event {
        Event::New(event) => Received::Flow(EventKind::New, event.flow, event.port_id),
        Event::Update(event) => Received::Flow(EventKind::Update, event.flow, event.port_id),
        Event::Destroy(event) => Received::Flow(EventKind::Destroy, event.flow, event.port_id),
        Event::ExpectationNew(event) => Received::Expectation(EventKind::New, event.expectation),
        Event::ExpectationDestroy(event) => Received::Expectation(EventKind::Destroy, event.expectation),
        Event::Overrun => Received::Overrun,
        _ => return None,
    })
}
