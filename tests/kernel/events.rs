//! Event sockets.

use std::{
    os::fd::{AsFd, AsRawFd},
    process::Command,
    thread,
    time::Duration,
};

use ctnetlink::{
    Client, ErrorKind, Event, EventGroups, EventKind, EventSocket, Filter, FlowKey, FlowUpdate, Mirror,
    NetworkNamespace, Tuple, filter::SocketFilter, sysctl,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname, sendto, socket,
};

use crate::{
    cases,
    lab::{Lab, PATIENCE, is_readable},
    samples::{create, expectation, master, tcp_flow, udp_flow},
};

cases! {
    flow_sends_new_update_and_destroy;
    only_joined_groups_are_received;
    expectation_events_are_received;
    events_of_packets_have_no_port_id: "ip", "nft";
    missing_capability_is_named;
    overrun_follows_older_events;
    steady_stream_of_events_does_not_hide_an_overrun;
    datagrams_of_other_processes_are_rejected;
    waits_end_in_time;
    descriptor_is_readable_for_events_and_losses;
    listener_in_another_namespace_receives_its_events;
    events_of_all_namespaces_have_a_namespace_id: "ip";
    program_too_long_names_the_setting: OwnOptmem;
    granted_receive_buffer_is_reported;
    reliable_delivery_sends_every_end;
    events_carry_times;
    filter_yields_only_matching_events;
    opening_fails_if_events_are_disabled;
    stop_handle_ends_a_wait;
    socket_from_elsewhere_is_taken_over;
    default_buffer_holds_a_burst;
}

/// The kind of each event and the source port of its flow.
fn heard(events: &mut EventSocket) -> Vec<(EventKind, u16)> {
    let mut heard = Vec::new();
    while let Some(event) = events.try_next().unwrap() {
        let (kind, event) = event.flow().unwrap_or_else(|| panic!("{event:?}"));
        heard.push((kind, event.flow.original.source_port().unwrap()));
    }
    heard
}

fn listen(groups: EventGroups) -> EventSocket {
    EventSocket::open(groups).unwrap()
}

/// The netlink port of a socket.
fn port_id(socket: &impl AsRawFd) -> u32 {
    getsockname::<NetlinkAddr>(socket.as_raw_fd()).unwrap().pid()
}

fn flow_sends_new_update_and_destroy(_: &Lab) {
    let mut events = listen(EventGroups::FLOWS);
    let protocol = SockProtocol::NetlinkNetFilter;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
    let port = port_id(&socket);
    let mut client = Client::from_fd(socket).unwrap();
    let new = tcp_flow(1000);
    client.create(&new).unwrap();
    client.update(FlowKey::original(new.original), &FlowUpdate::new().mark(7)).unwrap();
    client.delete(FlowKey::original(new.original)).unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = events.try_next().unwrap() {
        let (kind, event) = event.flow().unwrap();
        assert_eq!(event.port_id, Some(port));
        let flow = &event.flow;
        assert_eq!(flow.original, new.original);
        assert_eq!(flow.mark.unwrap_or(0), if kind == EventKind::New { 0 } else { 7 });
        kinds.push(kind);
    }
    assert_eq!(kinds, [EventKind::New, EventKind::Update, EventKind::Destroy]);
}

fn only_joined_groups_are_received(lab: &Lab) {
    let mut ends = listen(EventGroups::DESTROY);
    let mut begins = listen(EventGroups::NEW);
    let mut client = lab.client();
    let new = udp_flow(1000);
    client.create(&new).unwrap();
    client.delete(FlowKey::original(new.original)).unwrap();
    assert_eq!(heard(&mut ends), [(EventKind::Destroy, 1000)]);
    assert_eq!(heard(&mut begins), [(EventKind::New, 1000)]);
}

fn expectation_events_are_received(lab: &Lab) {
    let mut events = listen(EventGroups::EXPECTATIONS);
    let mut client = lab.client();
    let master = master(tcp_flow(1000).original);
    client.create(&master).unwrap();
    let expectation = expectation(master.original, 5001);
    client.create_expectation(&expectation).unwrap();
    client.delete_expectation(&expectation).unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = events.try_next().unwrap() {
        let kind = event.kind();
        let (Event::ExpectationNew(inner) | Event::ExpectationDestroy(inner)) = event else { panic!("{event:?}") };
        assert_eq!(inner.expectation.tuple, expectation.tuple);
        assert!(inner.port_id.is_some());
        kinds.push(kind);
    }
    assert_eq!(kinds, [Some(EventKind::New), Some(EventKind::Destroy)]);
}

fn events_of_packets_have_no_port_id(lab: &Lab) {
    lab.track_loopback();
    let mut events = listen(EventGroups::FLOWS);
    let (here, there) = lab.udp("127.0.0.1:0");
    let Event::New(new) = events.next_within(PATIENCE).unwrap().unwrap() else { panic!("no new flow") };
    assert_eq!((new.port_id, new.flow.original), (None, Tuple::udp(here, there)));
    assert!(matches!(events.next_within(PATIENCE).unwrap(), Some(Event::Update(_))));
}

fn missing_capability_is_named(lab: &Lab) {
    lab.without_capabilities(|| {
        let error = EventSocket::open(EventGroups::NEW).unwrap_err();
        assert!(error.is_permission_denied());
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
        assert!(EventSocket::open(EventGroups::empty()).is_ok());
    });
}

/// The kernel reports the loss before it hands out the events that are older.
fn overrun_follows_older_events(lab: &Lab) {
    let mut events = EventSocket::builder(EventGroups::NEW).receive_buffer(50_000).open().unwrap();
    let mut client = lab.client();
    for round in 0..3_u16 {
        let first = 1 + round * 1000;
        create(&mut client, (first..first + 500).map(udp_flow));
        let mut expected = first;
        loop {
            match events.try_next().unwrap().expect("an event or the loss") {
                Event::New(new) => assert_eq!(new.flow.original().source_port(), Some(expected)),
                Event::Overrun => break,
                other => panic!("{other:?}"),
            }
            expected += 1;
        }
        assert!(expected > first + 10 && expected < first + 500, "{expected}");
        assert!(events.try_next().unwrap().is_none());
        create(&mut client, [udp_flow(first + 500)]);
        assert_eq!(heard(&mut events), [(EventKind::New, first + 500)]);
        assert_eq!(events.overruns(), u64::from(round) + 1);
    }
}

/// If events keep arriving, the buffer may never be found empty.
fn steady_stream_of_events_does_not_hide_an_overrun(lab: &Lab) {
    let mut events = EventSocket::builder(EventGroups::NEW).receive_buffer(20_000).open().unwrap();
    let mut client = lab.client();
    let burst = move || create(&mut client, (1..=20_000).map(udp_flow));
    let writer = thread::spawn(burst);
    let (mut seen, mut last) = (0, 0);
    loop {
        match events.next_within(Duration::from_millis(10)).unwrap() {
            Some(Event::New(new)) => {
                let port = new.flow.original().source_port().unwrap();
                assert!(port > last, "{port} behind {last}");
                (seen, last) = (seen + 1, port);
            }
            Some(Event::Overrun) => {}
            None if writer.is_finished() => break,
            None => {}
            other => panic!("{other:?}"),
        }
    }
    writer.join().unwrap();
    assert_eq!(events.overruns() == 0, seen == 20_000, "{seen} seen, {} overruns", events.overruns());
}

fn datagrams_of_other_processes_are_rejected(lab: &Lab) {
    let mut events = listen(EventGroups::FLOWS);
    let mut real = listen(EventGroups::FLOWS);
    let mut client = lab.client();
    create(&mut client, [udp_flow(1)]);
    // A message exactly as the kernel sends it, but from a process.
    let flow = real.next().unwrap().unwrap().flow().unwrap().1.flow.clone();
    let mut buffer = [0; 512];
    let mut encoder = ctnetlink::wire::Encoder::new(&mut buffer);
    let delete = ctnetlink::wire::MessageType::FLOW_DELETE;
    encoder.message(delete, ctnetlink::wire::Flags::empty(), 0, flow.family(), |body| flow.encode(body));
    let length = encoder.finish().unwrap();
    let target = NetlinkAddr::new(port_id(&events), 0);
    sendto(real.as_raw_fd(), &buffer[..length], &target, MsgFlags::empty()).unwrap();
    create(&mut client, [udp_flow(2)]);
    assert_eq!(heard(&mut events), [(EventKind::New, 1), (EventKind::New, 2)]);
    assert_eq!((events.rejected_datagrams(), real.rejected_datagrams()), (1, 0));
}

fn waits_end_in_time(lab: &Lab) {
    let builder = EventSocket::builder(EventGroups::NEW).timeout(Some(Duration::from_millis(20)));
    let mut events = builder.open().unwrap();
    assert!(events.next().unwrap().unwrap_err().is_timed_out());
    assert!(events.next_within(Duration::from_millis(1)).unwrap().is_none());
    assert!(events.next_within(Duration::ZERO).unwrap().is_none());
    create(&mut lab.client(), (1..=3).map(udp_flow));
    assert!(matches!(events.next_within(Duration::MAX).unwrap(), Some(Event::New(_))));
    assert!(matches!(events.next().unwrap().unwrap(), Event::New(_)));
    assert!(matches!(events.next_within(Duration::ZERO).unwrap(), Some(Event::New(_))));
}

fn is_ready(events: &EventSocket) -> bool {
    is_readable(events, Duration::ZERO)
}

fn descriptor_is_readable_for_events_and_losses(lab: &Lab) {
    let mut events = EventSocket::builder(EventGroups::NEW).receive_buffer(20_000).open().unwrap();
    assert!(!is_ready(&events));
    create(&mut lab.client(), (1..=100).map(udp_flow));
    assert!(is_ready(&events));
    let mut overruns = 0;
    while let Some(event) = events.try_next().unwrap() {
        overruns += usize::from(matches!(event, Event::Overrun));
    }
    assert_eq!(overruns, 1);
    assert!(!is_ready(&events));
}

fn listener_in_another_namespace_receives_its_events(lab: &Lab) {
    let here = NetworkNamespace::of_this_thread().unwrap();
    let elsewhere = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let events = EventSocket::builder(EventGroups::FLOWS).namespace(here).open().unwrap();
        create(&mut Client::open().unwrap(), [udp_flow(9)]);
        events
    };
    let mut events = thread::spawn(elsewhere).join().unwrap();
    create(&mut lab.client(), [udp_flow(1)]);
    assert_eq!(heard(&mut events), [(EventKind::New, 1)]);
}

fn granted_receive_buffer_is_reported(_: &Lab) {
    let events = EventSocket::builder(EventGroups::NEW).receive_buffer(100_000).open().unwrap();
    assert_eq!(events.receive_buffer(), 200_000);
}

/// Events that do not fit are repeated until they do.
fn reliable_delivery_sends_every_end(lab: &Lab) {
    let builder = EventSocket::builder(EventGroups::DESTROY).receive_buffer(8192).reliable(true);
    let mut events = builder.open().unwrap();
    let mut client = lab.client();
    create(&mut client, (1..=200).map(udp_flow));
    client.delete_all().unwrap();
    let mut ended = vec![false; 201];
    while ended.iter().filter(|ended| **ended).count() < 200 {
        match events.next_within(PATIENCE).unwrap().expect("an end") {
            Event::Destroy(end) => {
                let port = usize::from(end.flow.original().source_port().unwrap());
                assert!(!std::mem::replace(&mut ended[port], true), "{port} ended twice");
            }
            Event::Overrun => {}
            other => panic!("{other:?}"),
        }
    }
}

fn events_carry_times(lab: &Lab) {
    lab.sysctl(sysctl::TIMESTAMP, 1);
    let mut events = listen(EventGroups::FLOWS);
    create(&mut lab.client(), [udp_flow(1)]);
    lab.client().delete_all().unwrap();
    let times = |event: Option<Event>| {
        let event = event.unwrap();
        let (_, event) = event.flow().unwrap();
        (event.flow.event_time, event.flow.times)
    };
    let (begin, _) = times(events.try_next().unwrap());
    let (end, times) = times(events.try_next().unwrap());
    // Linux 6.14 and later send the time of events. All versions send the times of a flow at its end.
    assert!(begin <= end);
    assert!(times.unwrap().stop.is_some());
}

/// A namespace gets a number if a device of this namespace has its other end there.
fn events_of_all_namespaces_have_a_namespace_id(lab: &Lab) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let other = thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let mut process = Command::new("sleep").arg("60").spawn().unwrap();
        ready.send(process.id()).unwrap();
        may_go.recv().unwrap();
        let mut client = Client::open().unwrap();
        client.create(&udp_flow(2)).unwrap();
        client.delete(FlowKey::original(udp_flow(2).original)).unwrap();
        process.kill().and_then(|()| process.wait()).unwrap();
    });
    let process = is_ready.recv().unwrap().to_string();
    lab.run("ip", &["link", "add", "here", "type", "veth", "peer", "name", "there", "netns", &process]);
    let link = lab.run("ip", &["-o", "link", "show", "here"]);
    let id: i32 = link.split("link-netnsid ").nth(1).unwrap().split(' ').next().unwrap().trim().parse().unwrap();

    let mut all = EventSocket::builder(EventGroups::FLOWS).all_namespaces(true).open().unwrap();
    let mut own = EventSocket::open(EventGroups::FLOWS).unwrap();
    let mut mirror =
        Mirror::new(EventSocket::builder(EventGroups::FLOWS).all_namespaces(true).open().unwrap(), lab.client())
            .unwrap();
    mirror.synchronize().unwrap();
    lab.client().create(&udp_flow(1)).unwrap();
    go.send(()).unwrap();
    other.join().unwrap();

    let mut heard = Vec::new();
    while let Some(event) = all.next_within(Duration::from_millis(300)).unwrap() {
        let (kind, flow) = event.flow().unwrap();
        assert_eq!(flow.namespace_id, event.namespace_id());
        heard.push((kind, flow.flow.original().source_port(), event.namespace_id()));
    }
    assert_eq!(
        heard,
        [(EventKind::New, Some(1), None), (EventKind::New, Some(2), Some(id)), (EventKind::Destroy, Some(2), Some(id))]
    );
    assert_eq!(own.next().unwrap().unwrap().namespace_id(), None);
    assert!(own.try_next().unwrap().is_none(), "only its own namespace is heard");
    assert_eq!(mirror.next().unwrap().unwrap().flow.original.source_port(), Some(1));
    assert!(mirror.try_next().unwrap().is_none(), "the table is that of one namespace");
}

fn program_too_long_names_the_setting(lab: &Lab) {
    std::fs::write("/proc/sys/net/core/optmem_max", "4096").unwrap();
    let ports: Vec<String> = (1..500).map(|port| (port * 2).to_string()).collect();
    let filter: Filter = format!("proto tcp and dport {}", ports.join(",")).parse().unwrap();
    let open = |program: &SocketFilter| EventSocket::builder(EventGroups::FLOWS).program(program).open();
    let error = open(&SocketFilter::new(&filter)).unwrap_err().to_string();
    assert!(error.starts_with("cannot attach the program of a filter: "), "{error}");
    assert!(error.contains("net.core.optmem_max"), "{error}");
    open(&SocketFilter::per_event_within(200, &filter, &filter, &filter)).unwrap();
    // A shorter program, and the rest in userspace.
    let mut events = EventSocket::builder(EventGroups::FLOWS).filter(&filter).open().unwrap();
    create(&mut lab.client(), [tcp_flow(1)]);
    assert_eq!(heard(&mut events), []);
}

/// The program in the kernel cannot see helpers: the socket checks them in userspace.
fn filter_yields_only_matching_events(lab: &Lab) {
    let filter: Filter = "sport 1-3 and not helper ftp and not sport 2".parse().unwrap();
    let mut events = EventSocket::builder(EventGroups::FLOWS).filter(&filter).open().unwrap();
    let mut client = lab.client();
    create(&mut client, (1..=5).map(udp_flow).chain([master(tcp_flow(3).original)]));
    client.delete_all().unwrap();
    let mut heard = heard(&mut events);
    heard.sort_unstable_by_key(|(kind, port)| (*kind == EventKind::Destroy, *port));
    // The end of a flow does not say which helper it had.
    let ends = [1, 3, 3].map(|port| (EventKind::Destroy, port));
    assert_eq!(heard, [&[(EventKind::New, 1), (EventKind::New, 3)], ends.as_slice()].concat());
}

fn opening_fails_if_events_are_disabled(lab: &Lab) {
    let events = EventSocket::open(EventGroups::FLOWS).unwrap();
    assert!(events.events_enabled());
    lab.sysctl(sysctl::EVENTS, 0);
    assert!(!events.events_enabled());
    let error = EventSocket::open(EventGroups::FLOWS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EventsDisabled);
    assert!(error.to_string().contains("nf_conntrack_events"), "{error}");
    assert_eq!(Mirror::open().unwrap_err().kind(), ErrorKind::EventsDisabled);
    let events = EventSocket::builder(EventGroups::FLOWS).allow_disabled(true).open().unwrap();
    assert!(!events.events_enabled());
    // The setting is that of the socket's namespace, whichever namespace asks.
    let elsewhere = thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        events.events_enabled()
    });
    assert!(!elsewhere.join().unwrap());
}

fn stop_handle_ends_a_wait(lab: &Lab) {
    let mut events = listen(EventGroups::NEW);
    let stop = events.stop_handle().unwrap();
    create(&mut lab.client(), [udp_flow(1)]);
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        stop.clone().stop();
    });
    assert!(matches!(events.next(), Some(Ok(Event::New(_)))));
    assert!(events.next().is_none() && events.is_stopped());
    stopper.join().unwrap();
    create(&mut lab.client(), [udp_flow(2)]);
    assert!(events.next_view().unwrap().is_none() && events.try_next().unwrap().is_none());

    let mut mirror = Mirror::open().unwrap();
    mirror.synchronize().unwrap();
    let (stop, waiter) = (mirror.stop_handle().unwrap(), mirror.waiter().unwrap());
    let waiting = thread::spawn(move || waiter.wait(Duration::from_secs(60)).unwrap());
    thread::sleep(Duration::from_millis(20));
    stop.stop();
    assert!(!waiting.join().unwrap());
    assert!(mirror.next().is_none() && mirror.is_stopped());
    assert!(mirror.synchronize().is_ok(), "it is in sync already");
}

fn socket_from_elsewhere_is_taken_over(lab: &Lab) {
    let opened = listen(EventGroups::FLOWS);
    let mut events = EventSocket::from_fd(opened.as_fd().try_clone_to_owned().unwrap()).unwrap();
    drop(opened);
    create(&mut lab.client(), [udp_flow(7)]);
    assert_eq!(heard(&mut events), [(EventKind::New, 7)]);
    assert!(events.next_within(Duration::from_millis(5)).unwrap().is_none());
    assert!(events.events_enabled(), "not known");
    let datagram = std::os::unix::net::UnixDatagram::unbound().unwrap().into();
    assert_eq!(EventSocket::from_fd(datagram).unwrap_err().kind(), ErrorKind::InvalidInput);
}

fn default_buffer_holds_a_burst(lab: &Lab) {
    let mut events = listen(EventGroups::NEW);
    if events.receive_buffer() < 16 << 20 {
        // Without CAP_NET_ADMIN in the initial user namespace, the kernel grants less.
        return;
    }
    create(&mut lab.client(), (1..=10_000).map(udp_flow));
    assert_eq!((heard(&mut events).len(), events.overruns()), (10_000, 0));
}
