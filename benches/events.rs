//! The cost of an event beyond its bare receive, as an event and as a change of a mirror, and the losses in a burst.
//!
//! `cargo bench -p ctnetlink-benches --bench events [-- EVENTS]`. Measures the example `conntrack -E` too if it is built:
//! `cargo build --release --all-features --example conntrack`.
//!
//! Runs in a private network namespace and needs root. Without permission or connection tracking it says so and ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::{
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use ctnetlink::{
    Client, EventGroups, EventRef, EventSocket, FlowKey, FlowUpdate, Mirror, format::Text, request::UpdateFlow,
    wire::Messages,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvFlags, recv},
};

use support::{Netns, asked, cpu_time, create, example, flow, median};

const DEFAULT_EVENTS: u32 = 300_000;
const ROUNDS: usize = 5;
/// More of the receive buffer than one event takes.
const BYTES_OF_AN_EVENT: usize = 1400;
/// Half of the default receive buffer, because the kernel doubles the requested size.
const USUAL_BUFFER: usize = 212_992 / 2;

fn main() {
    let events = asked().unwrap_or(DEFAULT_EVENTS);
    let (_netns, mut client) = match Netns::enter(events) {
        Ok(entered) => entered,
        Err(reason) => return println!("skipped: {reason}"),
    };
    cost(&mut client, events);
    burst(&mut client, events);
    if let Some(program) = example("conntrack") {
        whole_program(&mut client, &program, events);
    }
    small_buffer(&mut client, events);
}

fn listen(events: usize) -> EventSocket {
    let builder = EventSocket::builder(EventGroups::FLOWS).receive_buffer(events * BYTES_OF_AN_EVENT / 2);
    builder.open().unwrap()
}

/// Receives all queued events and returns their number.
type Way = (&'static str, fn(&mut EventSocket) -> u32);

const WAYS: [Way; 5] = [
    ("poll, recv and headers alone: the floor", bare),
    ("recv alone", received),
    ("view", views),
    ("decoded", decoded),
    ("printed", printed),
];

/// The minimum of any listener: waits, receives, and steps from message to message.
fn bare(events: &mut EventSocket) -> u32 {
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0;
    loop {
        poll(&mut [PollFd::new(&*events, PollFlags::IN)], Some(&Timespec::default())).unwrap();
        let Ok((length, _)) = recv(&*events, &mut buffer, RecvFlags::DONTWAIT) else { return count };
        count += Messages::new(&buffer[..length]).count() as u32;
    }
}

fn received(events: &mut EventSocket) -> u32 {
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0;
    while recv(&*events, &mut buffer, RecvFlags::DONTWAIT).is_ok() {
        count += 1;
    }
    count
}

fn views(events: &mut EventSocket) -> u32 {
    let mut count = 0;
    while let Some(event) = events.try_next_view().unwrap() {
        count += u32::from(event.flow().is_some());
    }
    count
}

fn decoded(events: &mut EventSocket) -> u32 {
    let mut count = 0;
    while let Some(event) = events.try_next_view().unwrap() {
        count += event.flow().map_or(0, |(_, event)| u32::from(event.flow.to_flow().status.is_some()));
    }
    count
}

fn printed(events: &mut EventSocket) -> u32 {
    let (mut count, mut lines) = (0, Vec::with_capacity(1 << 17));
    while let Some(event) = events.try_next_view().unwrap() {
        print(&event, &mut count, &mut lines);
    }
    count
}

fn print(event: &EventRef<'_>, count: &mut u32, lines: &mut Vec<u8>) {
    let Some((kind, event)) = event.flow() else { return };
    Text::new().event(kind).flow(&event.flow.to_flow()).append_to(lines);
    lines.push(b'\n');
    *count += 1;
    if lines.len() > 1 << 16 {
        lines.clear();
    }
}

fn cost(client: &mut Client, events: u32) {
    let mut figures = [const { Vec::new() }; WAYS.len()];
    for round in 0..=ROUNDS {
        for (place, (_, take)) in WAYS.iter().enumerate() {
            client.delete_all().unwrap();
            let mut socket = listen(events as usize);
            create(client, (0..events).map(flow));
            let begin = cpu_time();
            let count = take(&mut socket);
            let figure = (cpu_time() - begin).as_secs_f64() * 1e9 / f64::from(events);
            assert_eq!((count, socket.overruns()), (events, 0));
            if round > 0 {
                figures[place].push(figure);
            }
        }
    }
    println!("{events} events that wait, medians of {ROUNDS} rounds{:>15} {:>10}", "ns/event", "beyond");
    let floor = median(&mut figures[0]);
    let print = |name: &str, figures: &mut [f64]| {
        let figure = median(figures);
        println!("  {name:<50} {figure:>10.0} {:>10.0}", figure - floor);
    };
    for ((name, _), figures) in WAYS.iter().zip(&mut figures) {
        print(name, figures);
    }
    for (name, figures) in mirrored(client, events).iter_mut() {
        print(name, figures);
    }
}

/// Measures a mirror that reads as many changes: of flows that begin, are marked and end.
fn mirrored(client: &mut Client, events: u32) -> [(&'static str, Vec<f64>); 3] {
    let mut figures =
        ["into a mirror: begins", "into a mirror: marks", "into a mirror: ends"].map(|name| (name, Vec::new()));
    for round in 0..=ROUNDS {
        client.delete_all().unwrap();
        let mut mirror = Mirror::new(listen(events as usize), Client::open().unwrap()).unwrap();
        mirror.synchronize().unwrap();
        for (step, (_, figures)) in figures.iter_mut().enumerate() {
            match step {
                0 => create(client, (0..events).map(flow)),
                1 => mark(client, events),
                _ => client.delete_all().unwrap(),
            }
            let begin = cpu_time();
            let mut changes = 0;
            while mirror.try_next().unwrap().is_some() {
                changes += 1;
            }
            let figure = (cpu_time() - begin).as_secs_f64() * 1e9 / f64::from(events);
            assert_eq!((changes, mirror.overruns(), mirror.dumps()), (events, 0, 1));
            if round > 0 {
                figures.push(figure);
            }
        }
    }
    figures
}

fn mark(client: &mut Client, flows: u32) {
    let mut batch = client.batch();
    for number in 0..flows {
        let key = FlowKey::original(flow(number).original);
        batch.push(&UpdateFlow::new(key, &FlowUpdate::new().mark(0x1000 + number))).unwrap();
    }
    assert_eq!(batch.finish().unwrap().failures(), []);
}

/// Prints events during the burst.
fn burst(client: &mut Client, events: u32) {
    client.delete_all().unwrap();
    let mut socket = listen(events as usize);
    let is_over = AtomicBool::new(false);
    let (count, seconds) = thread::scope(|scope| {
        let listener = scope.spawn(|| {
            let (mut count, mut lines) = (0, Vec::with_capacity(1 << 17));
            loop {
                let over = is_over.load(Ordering::Acquire);
                while let Some(event) = socket.try_next_view().unwrap() {
                    print(&event, &mut count, &mut lines);
                }
                if over {
                    return (count, socket.overruns());
                }
                thread::yield_now();
            }
        });
        let begin = Instant::now();
        create(client, (0..events).map(flow));
        let seconds = begin.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Release);
        (listener.join().unwrap(), seconds)
    });
    println!("\na burst of {events} in {seconds:.2} s, printed: {} heard, {} losses", count.0, count.1);
}

/// Runs the example `conntrack -E` during the burst, with its output in a file.
fn whole_program(client: &mut Client, program: &Path, events: u32) {
    client.delete_all().unwrap();
    let file = env::temp_dir().join(format!("ctnetlink-events-{}", std::process::id()));
    let room = (events as usize * BYTES_OF_AN_EVENT).to_string();
    let mut listener = Command::new(program);
    listener.args(["-E", "-e", "NEW", "-b", &room]).stdout(File::create(&file).unwrap()).stderr(Stdio::piped());
    let mut listener = listener.spawn().unwrap();
    let mut messages = BufReader::new(listener.stderr.take().unwrap());
    let mut message = String::new();
    // It prints the size of its receive buffer when it is ready.
    messages.read_line(&mut message).unwrap();
    let begin = Instant::now();
    create(client, (0..events).map(flow));
    let seconds = begin.elapsed().as_secs_f64();
    kill(Pid::from_raw(listener.id() as i32), Signal::SIGINT).unwrap();
    messages.read_to_string(&mut message).unwrap();
    let succeeded = listener.wait().unwrap().success();
    let behind = begin.elapsed().as_secs_f64() - seconds;
    let lines = BufReader::new(File::open(&file).unwrap()).lines().count();
    let _ = fs::remove_file(&file);
    println!("\nthe same by the example, -E -b {room}, in {seconds:.2} s: {lines} lines, done {behind:.2} s behind it");
    println!("  {}", message.lines().last().unwrap_or_default());
    assert!(succeeded && lines == events as usize);
}

/// Follows the burst with a mirror that has the default receive buffer.
fn small_buffer(client: &mut Client, events: u32) {
    client.delete_all().unwrap();
    let socket = EventSocket::builder(EventGroups::FLOWS).receive_buffer(USUAL_BUFFER).open().unwrap();
    let mut mirror = Mirror::new(socket, Client::open().unwrap()).unwrap();
    mirror.synchronize().unwrap();
    let is_over = AtomicBool::new(false);
    let begin = Instant::now();
    let (inferred, reported) = thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let (mut inferred, mut reported) = (0_u32, 0_u32);
            loop {
                let over = is_over.load(Ordering::Acquire);
                while let Some(change) = mirror.try_next().unwrap() {
                    *(if change.inferred { &mut inferred } else { &mut reported }) += 1;
                }
                let has_work = mirror.next_deadline().is_some_and(|due| due <= Instant::now());
                if over && mirror.table().is_synchronized() && !has_work {
                    return (inferred, reported);
                }
                thread::yield_now();
            }
        });
        create(client, (0..events).map(flow));
        is_over.store(true, Ordering::Release);
        follower.join().unwrap()
    });
    let seconds = begin.elapsed().as_secs_f64();
    let same = client.dump().unwrap().map(Result::unwrap).filter(|flow| {
        let known = mirror.table().get(flow).map(|entry| (entry.reply(), entry.status(), entry.mark()));
        known == Some((flow.reply, flow.status, flow.mark))
    });
    println!(
        "\nthe same into a mirror through {} bytes, {seconds:.2} s: {} losses, {} dumps, {reported} changes reported and \
             {inferred} inferred; {} of {} flows as in a dump",
        mirror.receive_buffer(),
        mirror.overruns(),
        mirror.dumps(),
        same.count(),
        mirror.table().len()
    );
    assert_eq!(mirror.table().len(), events as usize);
}
