//! The event socket of `-E`.

use std::os::fd::{AsFd, BorrowedFd};

use ctnetlink::{Event, EventGroups, EventKind, EventSocket, Filter, filter::SocketFilter};

use crate::{
    arguments::{Arguments, EventWord, Table},
    events::{Received, Source},
    failure::Outcome,
    selection::Selection,
};

/// Opens the socket, with as much of the filter as the kernel can evaluate for it.
pub fn open(arguments: &Arguments) -> Outcome<Listener> {
    let filter = Selection::new(arguments)?.filter;
    let mut builder = EventSocket::builder(groups(arguments)).filter(&SocketFilter::new(&filter));
    if let Some(bytes) = arguments.buffer_size {
        builder = builder.receive_buffer(bytes);
    }
    Ok(Listener { socket: builder.open()?, filter })
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

/// The socket, and the filter that its events are checked against.
pub struct Listener {
    socket: EventSocket,
    filter: Filter,
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
            if let Some(received) = convert(&event, &self.filter) {
                return Ok(Some(received));
            }
        }
    }

    fn receive_buffer(&self) -> usize {
        self.socket.receive_buffer()
    }
}

/// Converts an event. Returns `None` if the filter excludes it.
fn convert(event: &Event<'_>, filter: &Filter) -> Option<Received> {
    Some(match event {
        Event::New(_) | Event::Update(_) | Event::Destroy(_) => {
            let (kind, event) = event.flow()?;
            if !filter.matches(&event.flow) {
                return None;
            }
            Received::Flow(kind, event.flow.to_flow(), event.port_id)
        }
        Event::ExpectationNew(new) => Received::Expectation(EventKind::New, new.expectation.to_expectation()),
        Event::ExpectationDestroy(end) => Received::Expectation(EventKind::Destroy, end.expectation.to_expectation()),
        Event::Overrun => Received::Overrun,
        Event::Malformed(malformed) => Received::Malformed(malformed.error.to_string()),
        _ => return None,
    })
}
