//! The socket that events come from.

use std::os::fd::{AsFd, BorrowedFd};

use ctnetlink::{Event, EventGroups, EventKind, EventSocket, Filter, filter::SocketFilter};

use crate::{
    arguments::{Arguments, EventWord, Table},
    events::{Source, Told},
    failure::Outcome,
    selection::Selection,
};

/// Opens the socket. What the filter leaves out is left out in the kernel, as far as it can tell.
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

/// The socket, and what its events are held against.
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
    fn try_next(&mut self) -> Outcome<Option<Told>> {
        loop {
            let event = match self.socket.try_next() {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(error) if error.decode_error().is_some() => return Ok(Some(Told::Malformed(error.to_string()))),
                Err(error) => return Err(error.into()),
            };
            if let Some(told) = told(&event, &self.filter) {
                return Ok(Some(told));
            }
        }
    }

    fn receive_buffer(&self) -> usize {
        self.socket.receive_buffer()
    }
}

/// What is to be told of an event; `None` where the filter leaves it out.
fn told(event: &Event<'_>, filter: &Filter) -> Option<Told> {
    Some(match event {
        Event::New(_) | Event::Update(_) | Event::Destroy(_) => {
            let (kind, event) = event.flow()?;
            if !filter.matches(&event.flow) {
                return None;
            }
            Told::Flow(kind, event.flow.to_flow(), event.port_id)
        }
        Event::ExpectationNew(new) => Told::Expectation(EventKind::New, new.expectation.to_expectation()),
        Event::ExpectationDestroy(end) => Told::Expectation(EventKind::Destroy, end.expectation.to_expectation()),
        Event::Overrun => Told::Lost,
        Event::Malformed(malformed) => Told::Malformed(malformed.error.to_string()),
        _ => return None,
    })
}
