//! The types for tokio, beside the synchronous ones.

use std::{
    collections::BTreeSet,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use ::tokio::{runtime::Runtime, task::coop::consume_budget, time::MissedTickBehavior};
use ctnetlink::{
    Event, EventGroups, Filter, FlowKey, FlowUpdate, Partition, Tuple,
    request::{DeleteFlow, DumpExpectations, DumpFlows},
    sysctl,
    tokio::{Client, EventSocket, Mirror},
};
use futures_util::StreamExt;

use crate::{
    cases,
    lab::{Lab, PATIENCE},
    samples::{create, tcp_flow, udp_flow},
};

cases! {
    both_clients_give_the_same_results;
    both_event_sockets_yield_the_same_events;
    both_mirrors_yield_the_same_changes;
    tasks_of_a_multi_thread_runtime_share_the_work;
    events_and_mirror_work_on_a_multi_thread_runtime;
    awaiting_leaves_a_shared_socket_blocking;
    dump_is_a_stream;
    dropped_request_leaves_the_client_usable;
    dropped_request_is_read_to_its_end_without_a_namespace;
    dropped_batch_is_not_sent_again;
    another_task_stops_a_bulk_change;
    dropped_wait_loses_no_event;
    storm_of_events_leaves_the_timer_running;
    lost_events_are_an_item;
    stop_handle_ends_an_awaited_event;
    timeout_ends_an_awaited_event;
    mirror_follows_the_table;
    dump_of_threads_is_repeated_after_a_conversion;
    dropped_mirror_future_loses_no_change;
    stop_handle_ends_an_awaited_change;
}

fn block_on<F: Future>(future: F) -> F::Output {
    ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Polls a future once, when the budget of the task allows so many waits. Returns `None` if it was pending, after dropping
/// it. With each budget the future is dropped at another of its waits.
async fn poll_once<F: Future>(waits: usize, future: F) -> Option<F::Output> {
    ::tokio::task::yield_now().await;
    for _ in waits..128 {
        consume_budget().await;
    }
    let output = {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    };
    ::tokio::task::yield_now().await;
    output
}

/// The same steps with either client.
macro_rules! results_of {
    ($client:expr, $($wait:tt)*) => {{
        let mut client = $client;
        let mut results: Vec<String> = Vec::new();
        macro_rules! note { ($result:expr) => { results.push(format!("{:?}", $result.map_err(|error| error.to_string()))) } }
        let key = FlowKey::original(udp_flow(1).original);
        let dns: Filter = "proto udp".parse().unwrap();
        note!(client.delete_all()$($wait)*);
        note!(client.create(&udp_flow(1))$($wait)*);
        note!(client.create(&udp_flow(1))$($wait)*);
        note!(client.update(key, &FlowUpdate::new().mark(7))$($wait)*);
        note!(client.update(key, &FlowUpdate::new())$($wait)*);
        note!(client.get(key)$($wait)*.map(|flow| flow.map(|flow| (flow.original, flow.mark))));
        note!(client.get_and_zero_counters(key)$($wait)*.map(|flow| flow.is_some()));
        note!(client.get(FlowKey::original(udp_flow(2).original))$($wait)*);
        note!(client.delete(FlowKey::original(udp_flow(2).original))$($wait)*);
        let mut batch = client.batch();
        for port in 1..=600 {
            note!(batch.push(&tcp_flow(port))$($wait)*);
        }
        note!(batch.push(&tcp_flow(5))$($wait)*);
        note!(batch.finish()$($wait)*);
        let (mut ports, mut views) = (BTreeSet::new(), BTreeSet::new());
        let mut dump = client.dump()$($wait)*.unwrap();
        while let Some(flow) = dump.next_view()$($wait)*.unwrap() {
            views.insert(flow.original().source_port());
        }
        let mut dump = client.dump_matching(&dns)$($wait)*.unwrap();
        while let Some(flow) = dump.next()$($wait)* {
            ports.insert(flow.unwrap().original.source_port());
        }
        note!(Ok::<_, ctnetlink::Error>((ports, views)));
        note!(client.dump_expectations(&DumpExpectations::all())$($wait)*.unwrap().next()$($wait)*.transpose());
        let mut marked = 0;
        note!(client.update_matching_with(&dns, &FlowUpdate::new().mark(9), |_| marked += 1)$($wait)*.map(|report| report.to_string()));
        note!(Ok::<_, ctnetlink::Error>(marked));
        note!(client.update_matching(&dns, &FlowUpdate::new().mark(10))$($wait)*.map(|report| report.to_string()));
        note!(client.delete_matching(&Filter::everything())$($wait)*.map(|report| report.to_string()));
        note!(client.delete_matching(&dns)$($wait)*.map(|report| report.to_string()));
        note!(client.delete_matching_uncounted(&"sport 1-10".parse().unwrap())$($wait)*.map(|report| report.map(|report| report.to_string())));
        note!(client.statistics()$($wait)*.map(|statistics| statistics.entries));
        note!(client.cpu_statistics()$($wait)*.map(|statistics| statistics.len()));
        note!(client.capabilities()$($wait)*);
        let mut replies = client.request(&DumpFlows::new())$($wait)*.unwrap();
        let mut messages = 0;
        while replies.next_view()$($wait)*.unwrap().is_some() {
            messages += 1;
        }
        note!(Ok::<_, ctnetlink::Error>(messages));
        client.stop_handle().unwrap().stop();
        note!(client.delete_matching(&"proto tcp".parse().unwrap())$($wait)*.map(|report| report.to_string()));
        results
    }};
}

fn both_clients_give_the_same_results(lab: &Lab) {
    let expected = results_of!(lab.client(),);
    assert!(expected.len() > 600 && expected.iter().any(|result| result.contains("deleted 1 flow")), "{expected:#?}");
    assert_eq!(block_on(async { results_of!(Client::open().unwrap(), .await) }), expected);
}

/// Creates, changes and deletes flows, in an order that every listener sees.
fn change_flows(lab: &Lab) {
    let mut client = lab.client();
    create(&mut client, (1..=400).map(udp_flow));
    client.update_matching(&"sport 1-100".parse().unwrap(), &FlowUpdate::new().mark(7)).unwrap();
    client.delete_matching(&"proto udp and sport 50-149".parse().unwrap()).unwrap();
}

fn both_event_sockets_yield_the_same_events(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 1);
    const EVENTS: usize = 600;
    let filter: Filter = "proto udp".parse().unwrap();
    let open = || ctnetlink::EventSocket::builder(EventGroups::FLOWS).filter(&filter).open().unwrap();
    let (mut blocking, mut owned, mut lent) = (open(), EventSocket::from(open()), EventSocket::from(open()));
    change_flows(lab);
    let shown = |event: Event| format!("{event:?}");
    let expected: Vec<_> = (0..EVENTS).map(|_| shown(blocking.next().unwrap().unwrap())).collect();
    assert!(blocking.try_next().unwrap().is_none());
    block_on(async {
        for expected in &expected {
            assert_eq!(shown(owned.next().await.unwrap().unwrap()), *expected);
            assert_eq!(shown(lent.next_view().await.unwrap().unwrap().to_event()), *expected);
        }
        assert!(owned.try_next().unwrap().is_none() && lent.try_next_view().unwrap().is_none());
    });
}

fn both_mirrors_yield_the_same_changes(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 1);
    create(&mut lab.client(), (1..=100).map(tcp_flow));
    let (mut blocking, mut awaited) = (ctnetlink::Mirror::open().unwrap(), Mirror::open().unwrap());
    let shown = |change: ctnetlink::Change| format!("{:?} {}", change.kind, change.flow.original);
    block_on(async {
        blocking.synchronize().unwrap();
        awaited.synchronize().await.unwrap();
        change_flows(lab);
        let mut changes = 0;
        while let Some(expected) = blocking.next_within(Duration::from_millis(200)).unwrap() {
            assert_eq!(shown(awaited.next().await.unwrap().unwrap()), shown(expected));
            changes += 1;
        }
        assert!(changes >= 600, "{changes}");
        assert_eq!((blocking.table().len(), awaited.table().len()), (400, 400));
        assert!(awaited.try_next().await.unwrap().is_none());
    });
}

fn events_and_mirror_work_on_a_multi_thread_runtime(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 1);
    let runtime = Runtime::new().unwrap();
    // The sockets are opened here: the threads of the runtime are in another namespace.
    let (mut events, mut mirror) = (EventSocket::open(EventGroups::NEW).unwrap(), Mirror::open().unwrap());
    runtime.block_on(mirror.synchronize()).unwrap();
    let counted = runtime.spawn(async move {
        let mut count = 0;
        while count < 500 {
            assert!(matches!(events.next().await.unwrap().unwrap(), Event::New(_)));
            count += 1;
            ::tokio::task::yield_now().await; // which may move the task to another thread
        }
    });
    let mirrored = runtime.spawn(async move {
        while mirror.table().len() < 500 {
            mirror.next().await.unwrap().unwrap();
            ::tokio::task::yield_now().await;
        }
    });
    for port in 1..=500 {
        lab.client().create(&udp_flow(port)).unwrap();
    }
    let finished = async { (counted.await.unwrap(), mirrored.await.unwrap()) };
    runtime.block_on(async { ::tokio::time::timeout(PATIENCE, finished).await }).unwrap();
}

/// The flag would change the socket of every process that has it.
fn awaiting_leaves_a_shared_socket_blocking(lab: &Lab) {
    use std::os::fd::AsRawFd;
    const O_NONBLOCK: u32 = 0o4000;
    create(&mut lab.client(), (1..=10).map(udp_flow));
    let (ours, other) = (netlink_socket(), netlink_socket());
    let mut client = Client::from(ctnetlink::Client::from_fd(ours.try_clone().unwrap()).unwrap());
    let mut events = EventSocket::from(ctnetlink::EventSocket::from_fd(other.try_clone().unwrap()).unwrap());
    block_on(async {
        assert_eq!(client.dump().await.unwrap().count().await, 10);
        assert!(events.next_within(Duration::from_millis(5)).await.unwrap().is_none());
    });
    for fd in [ours.as_raw_fd(), other.as_raw_fd()] {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        assert_eq!(u32::from_str_radix(flags.trim(), 8).unwrap() & O_NONBLOCK, 0, "{info}");
    }
}

fn tasks_of_a_multi_thread_runtime_share_the_work(lab: &Lab) {
    let runtime = Runtime::new().unwrap();
    // Futures that are not `Send` would not compile.
    let tasks: Vec<_> = (0..4_u16)
        .map(|task| {
            let mut client = Client::from(lab.client());
            runtime.spawn(async move {
                for port in 0..200 {
                    let flow = udp_flow(1 + 200 * task + port);
                    client.create(&flow).await.unwrap();
                    assert!(client.get(FlowKey::original(flow.original)).await.unwrap().is_some());
                }
                let own: Filter = format!("sport {}-{}", 1 + 200 * task, 200 + 200 * task).parse().unwrap();
                let mut deleted = 0;
                client.delete_matching_with(&own, |_| deleted += 1).await.unwrap();
                deleted
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(runtime.block_on(task).unwrap(), 200);
    }
    assert!(lab.flows().is_empty());
}

fn dump_is_a_stream(lab: &Lab) {
    create(&mut lab.client(), (1..=500).map(udp_flow));
    let flows: Vec<_> = block_on(async {
        let mut client = Client::open().unwrap();
        client.dump().await.unwrap().map(|flow| flow.unwrap()).collect().await
    });
    assert_eq!(flows.len(), 500);
}

/// Drops each kind of request at each of its waits, and checks the next answers.
fn drop_requests(lab: &Lab, open: impl Fn() -> Client) {
    const FLOWS: u16 = 2000;
    create(&mut lab.client(), (1..=FLOWS).map(udp_flow));
    let key = |port| FlowKey::original(udp_flow(port).original);
    let every: Filter = "proto udp".parse().unwrap();
    block_on(async {
        let mut dropped = 0;
        for request in 0..7 {
            // A new client has all of its waits still before it, such as those of the probes.
            for mut client in [open(), {
                let mut used = open();
                used.capabilities().await.unwrap();
                used.get(key(1)).await.unwrap();
                used
            }] {
                for waits in 0..40 {
                    let mark = FlowUpdate::new().mark(waits as u32 + 1);
                    let completed = match request {
                        0 => poll_once(waits, client.get(key(1))).await.map(|flow| assert!(flow.unwrap().is_some())),
                        1 => poll_once(waits, client.update(key(2), &mark)).await.map(Result::unwrap),
                        2 => poll_once(waits, client.statistics()).await.map(|statistics| assert!(statistics.is_ok())),
                        3 => {
                            let dump = async {
                                let mut dump = client.dump().await.unwrap();
                                while dump.next_view().await.unwrap().is_some() {}
                            };
                            poll_once(waits, dump).await
                        }
                        4 => poll_once(waits, client.update_matching(&every, &mark))
                            .await
                            .map(|report| drop(report.unwrap())),
                        5 => {
                            let batch = async {
                                let mut batch = client.batch();
                                for port in 1..=300 {
                                    batch.push(&udp_flow(port)).await.unwrap();
                                }
                                batch.finish().await.unwrap();
                            };
                            poll_once(waits, batch).await
                        }
                        _ => poll_once(waits, client.create(&udp_flow(3)))
                            .await
                            .map(|error| assert!(error.unwrap_err().is_already_exists())),
                    };
                    dropped += usize::from(completed.is_none());
                    let port = 1 + (waits as u16 * 37) % FLOWS;
                    let flow = client.get(key(port)).await.unwrap().expect("the flow");
                    assert_eq!(flow.original, udp_flow(port).original, "the answer to this request");
                    assert!(client.delete(key(FLOWS + 1)).await.unwrap_err().is_not_found());
                    if waits % 8 == 0 {
                        let mut count = 0;
                        let mut dump = client.dump().await.unwrap();
                        while dump.next_view().await.unwrap().is_some() {
                            count += 1;
                        }
                        assert_eq!(count, FLOWS);
                    }
                }
            }
        }
        assert!(dropped > 50, "{dropped} futures were dropped");
    });
}

fn dropped_request_leaves_the_client_usable(lab: &Lab) {
    drop_requests(lab, || Client::open().unwrap());
}

fn dropped_request_is_read_to_its_end_without_a_namespace(lab: &Lab) {
    drop_requests(lab, || {
        let fd = netlink_socket();
        Client::from(ctnetlink::Client::from_fd(fd).unwrap())
    });
}

fn netlink_socket() -> std::os::fd::OwnedFd {
    use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
    use std::os::fd::AsRawFd;
    let fd =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter).unwrap();
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
    fd
}

fn dropped_batch_is_not_sent_again(lab: &Lab) {
    block_on(async {
        let mut client = Client::open().unwrap();
        client.get(FlowKey::original(udp_flow(1).original)).await.unwrap();
        let mut unanswered = 0;
        for waits in 0..4 {
            client.delete_all().await.unwrap();
            let mut batch = client.batch();
            for port in 1..=10 {
                batch.push(&udp_flow(port)).await.unwrap();
            }
            let completed = poll_once(waits, batch.send()).await;
            batch.push(&DeleteFlow::new(FlowKey::original(udp_flow(1).original))).await.unwrap();
            let report = batch.finish().await.unwrap();
            assert_eq!((report.operations(), report.failures().len()), (11, 0), "nothing was created twice");
            assert_eq!(report.unanswered(), if completed.is_none() { 10 } else { 0 });
            unanswered += report.unanswered();
            assert_eq!(lab.flows().len(), 9);
        }
        assert!(unanswered > 0, "a future was dropped while it waited for answers");
    });
}

fn another_task_stops_a_bulk_change(lab: &Lab) {
    const FLOWS: u64 = 30_000;
    create(&mut lab.client(), (1..=FLOWS as u16).map(udp_flow));
    block_on(async {
        let mut client = Client::open().unwrap();
        let stop = client.stop_handle().unwrap();
        let every: Filter = "proto udp".parse().unwrap();
        let stopper = async {
            // The change yields when it first waits for each of its sockets, and then when the budget of the task is spent.
            for _ in 0..4 {
                ::tokio::task::yield_now().await;
            }
            stop.stop();
        };
        let (report, ()) = ::tokio::join!(biased; client.delete_matching(&every), stopper);
        let (report, left) = (report.unwrap(), lab.flows().len() as u64);
        assert!(report.is_stopped() && left > 0 && left < FLOWS, "{report}, {left} are left");
        assert_eq!(report.changed(), FLOWS - left);
    });
}

fn dropped_wait_loses_no_event(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 1);
    let mut client = lab.client();
    block_on(async {
        let mut events = EventSocket::open(EventGroups::NEW).unwrap();
        let (mut seen, mut dropped) = (Vec::new(), 0);
        for port in 1..=500 {
            if poll_once(usize::from(port % 3), events.next())
                .await
                .inspect(|event| seen.push(event.is_some()))
                .is_none()
            {
                dropped += 1;
            }
            client.create(&udp_flow(port)).unwrap();
        }
        let mut ports = seen.len();
        while let Some(event) = events.next_within(Duration::from_millis(200)).await.unwrap() {
            assert!(matches!(event, Event::New(_)));
            ports += 1;
        }
        assert!(dropped > 100, "{dropped}");
        assert_eq!(ports, 500);
    });
}

const STORM: usize = 300_000;

/// Sends so many events from another thread.
fn storm() -> thread::JoinHandle<()> {
    thread::spawn(|| {
        let mut client = ctnetlink::Client::open().unwrap();
        for _ in 0..STORM / 20_000 {
            let mut batch = client.batch();
            (1..=10_000).for_each(|port| batch.push(&udp_flow(port)).unwrap());
            (1..=10_000)
                .for_each(|port| batch.push(&DeleteFlow::new(FlowKey::original(udp_flow(port).original))).unwrap());
            assert!(batch.finish().unwrap().failures().is_empty());
        }
    })
}

fn storm_of_events_leaves_the_timer_running(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 1);
    let groups = EventGroups::NEW | EventGroups::DESTROY;
    let events = ctnetlink::EventSocket::builder(groups).receive_buffer(256 << 20).open().unwrap();
    let storm = storm();
    block_on(async {
        let mut events = EventSocket::from(events);
        let mut timer = ::tokio::time::interval(Duration::from_millis(2));
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut received, mut lost, mut ticks, begin) = (0, 0, 0, Instant::now());
        // Events and overruns, until nothing was missing or the storm is over.
        while received < STORM && !(lost > 0 && storm.is_finished()) && begin.elapsed() < PATIENCE * 6 {
            ::tokio::select! {
                event = events.next_view() => match event.unwrap().unwrap() {
                    ctnetlink::EventRef::Overrun => lost += 1,
                    _ => received += 1,
                },
                _ = timer.tick() => ticks += 1,
            }
        }
        assert!(received == STORM || lost > 0, "{received} events, {lost} losses");
        assert!(ticks as u128 > begin.elapsed().as_millis() / 100, "{ticks} ticks in {:?}", begin.elapsed());
    });
    storm.join().unwrap();
}

fn lost_events_are_an_item(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 1);
    let events = ctnetlink::EventSocket::builder(EventGroups::NEW).receive_buffer(8192).open().unwrap();
    create(&mut lab.client(), (1..=500).map(udp_flow));
    block_on(async {
        let mut events = EventSocket::from(events);
        let mut before = 0;
        while !matches!(events.next().await.unwrap().unwrap(), Event::Overrun) {
            before += 1;
        }
        assert!(before > 0 && before < 500, "the events before the loss come first");
        lab.client().create(&tcp_flow(1)).unwrap();
        assert!(matches!(events.next().await.unwrap().unwrap(), Event::New(_)), "the stream goes on");
    });
}

fn stop_handle_ends_an_awaited_event(_: &Lab) {
    block_on(async {
        let mut events = EventSocket::open(EventGroups::FLOWS).unwrap();
        assert!(events.next_within(Duration::from_millis(1)).await.unwrap().is_none());
        let stop = events.stop_handle().unwrap();
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            stop.stop();
        });
        assert!(::tokio::time::timeout(PATIENCE, events.next()).await.unwrap().is_none());
        assert!(events.is_stopped() && events.next_view().await.unwrap().is_none());
        stopper.join().unwrap();
    });
}

fn timeout_ends_an_awaited_event(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 1);
    let builder = ctnetlink::EventSocket::builder(EventGroups::FLOWS).timeout(Some(Duration::from_millis(20)));
    let events = builder.open().unwrap();
    block_on(async {
        let mut events = EventSocket::from(events);
        assert!(events.next_view().await.unwrap_err().is_timed_out());
        assert!(StreamExt::next(&mut events).await.unwrap().unwrap_err().is_timed_out());
        lab.client().create(&udp_flow(1)).unwrap();
        assert!(events.next().await.unwrap().is_ok());
    });
}

fn originals<'f>(flows: impl IntoIterator<Item = &'f Tuple>) -> BTreeSet<String> {
    flows.into_iter().map(|tuple| tuple.to_string()).collect()
}

fn mirror_follows_the_table(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 1);
    let mut client = lab.client();
    create(&mut client, (1..=3000).map(udp_flow));
    block_on(async {
        let mut mirror = Mirror::open().unwrap();
        mirror.synchronize().await.unwrap();
        assert_eq!(mirror.table().len(), 3000);
        create(&mut client, (1..=1000).map(tcp_flow));
        client.delete_matching(&"proto udp and sport 1-500".parse().unwrap()).unwrap();
        while mirror.next_within(Duration::from_millis(200)).await.unwrap().is_some() {}
        let mirrored: Vec<_> = mirror.table().into_iter().map(|entry| entry.original()).collect();
        let dumped: Vec<_> = lab.flows().into_iter().map(|flow| flow.original).collect();
        assert_eq!(originals(&mirrored), originals(&dumped));
        assert!(mirror.synchronize_within(PATIENCE).await.unwrap());
    });
}

/// Threads would hold up the runtime.
fn dump_of_threads_is_repeated_after_a_conversion(lab: &Lab) {
    create(&mut lab.client(), (1..=3000).map(udp_flow));
    let mut blocking = ctnetlink::Mirror::open().unwrap().dump_in_parts(&Partition::families()).unwrap();
    assert!(blocking.try_next().unwrap().is_none() && !blocking.table().is_synchronized());
    block_on(async {
        let mut mirror = Mirror::from(blocking);
        assert_eq!(mirror.table().losses(), 1);
        mirror.synchronize().await.unwrap();
        assert_eq!((mirror.table().len(), mirror.dumps()), (3000, 1));
    });
}

fn dropped_mirror_future_loses_no_change(lab: &Lab) {
    lab.sysctl(sysctl::EVENTS, 1);
    let mut client = lab.client();
    create(&mut client, (1..=2000).map(udp_flow));
    block_on(async {
        let mut mirror = Mirror::open().unwrap();
        let (mut changes, mut dropped) = (0, 0);
        let begin = Instant::now();
        while changes < 2000 && begin.elapsed() < PATIENCE {
            match poll_once((changes + dropped) % 5, mirror.next()).await {
                Some(change) => drop(change.unwrap().unwrap()),
                None => {
                    dropped += 1;
                    continue;
                }
            }
            changes += 1;
        }
        assert!(dropped > 0);
        assert_eq!((changes, mirror.table().len()), (2000, 2000));
    });
}

fn stop_handle_ends_an_awaited_change(_: &Lab) {
    block_on(async {
        let mut mirror = Mirror::open().unwrap();
        mirror.synchronize().await.unwrap();
        let stop = mirror.stop_handle().unwrap();
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            stop.stop();
        });
        assert!(::tokio::time::timeout(PATIENCE, mirror.next()).await.unwrap().is_none());
        stopper.join().unwrap();
        assert!(mirror.is_stopped());
    });
}
