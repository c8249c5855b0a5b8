//! Filters that run in the socket of an event listener.

use std::collections::BTreeSet;

use ctnetlink::{EventGroups, EventKind, EventSocket, EventSocketBuilder, Filter, Flow, filter::SocketFilter};

use super::filters;
use crate::{cases, lab::Lab, mixed_table::mixed_table};

cases! {
    sockets_pass_what_userspace_selects: "nft";
}

/// Every event that userspace selects passes the socket, and no other event does if the program is exact.
fn sockets_pass_what_userspace_selects(lab: &Lab) {
    lab.allow_labels();
    let mut client = lab.client();
    let listen = |builder: EventSocketBuilder| builder.receive_buffer(4 << 20).open().unwrap();
    let filters: Vec<Filter> = filters().into_iter().step_by(5).collect();
    let mut all = listen(EventSocket::builder(EventGroups::FLOWS));
    let mut filtered: Vec<(SocketFilter, EventSocket)> = Vec::new();
    for filter in &filters {
        let program = SocketFilter::new(filter);
        let socket = listen(EventSocket::builder(EventGroups::FLOWS).program(&program));
        filtered.push((program, socket));
    }
    mixed_table(&mut client, 200);
    client.delete_all().unwrap();
    let events = heard(&mut all);
    assert!(events.len() > 300, "{}", events.len());
    let mut narrowed = 0;
    for (filter, (program, socket)) in filters.iter().zip(&mut filtered) {
        let wanted: BTreeSet<String> = names(events.iter().filter(|(_, flow)| filter.matches(flow)));
        let passed = names(&heard(socket));
        assert!(passed.is_superset(&wanted), "{filter}: events are missing");
        if program.is_exact() {
            assert_eq!(passed.len(), wanted.len(), "{filter}: an exact program passed other events");
        }
        narrowed += usize::from(passed.len() < events.len());
    }
    assert!(narrowed > 20, "{narrowed} of {} programs keep anything back", filters.len());
}

fn heard(socket: &mut EventSocket) -> Vec<(EventKind, Flow)> {
    let mut heard = Vec::new();
    while let Some(event) = socket.try_next().unwrap() {
        let (kind, event) = event.flow().unwrap_or_else(|| panic!("{event:?}"));
        heard.push((kind, event.flow.clone()));
    }
    heard
}

fn names<'e>(events: impl IntoIterator<Item = &'e (EventKind, Flow)>) -> BTreeSet<String> {
    events
        .into_iter()
        .map(|(kind, flow)| format!("{kind} {:?} {:?} {:?}", flow.original, flow.zone, flow.mark))
        .collect()
}
