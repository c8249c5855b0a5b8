//! A soak test: writers, mirrors and abandoned dumps at the same time, for as long as wanted.
//!
//! `CTNETLINK_SOAK` is the number of seconds. The test runs in a separate process, because it counts the process's
//! descriptors and memory.

use std::{
    env, fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ctnetlink::{Client, FlowKey};
use nix::sched::{CloneFlags, unshare};

use crate::{
    cases,
    churn::{Dice, churn},
    follower::Follower,
    lab::{Lab, command},
    samples::udp_flow,
};

cases! {
    mirrors_stay_equal_and_nothing_leaks;
    namespace_outlives_its_processes;
}

const SECONDS: &str = "CTNETLINK_SOAK";
const USUAL: Duration = Duration::from_secs(5);
/// The task and the random seed of a process.
const PART: &str = "CTNETLINK_SOAK_PART";
const SEED: &str = "CTNETLINK_SOAK_SEED";

const ROUND: Duration = Duration::from_millis(800);
const FLOWS: u16 = 2000;
/// The buffer of the mirror that lives through all rounds: it loses events all the time.
const SMALL_BUFFER: usize = 10_000;
/// The buffers of the mirrors that live for one round.
const BUFFERS: [usize; 3] = [16 << 20, 100_000, 4000];

/// Returns the task of this process if it was started for one.
pub fn part() -> Option<fn()> {
    match env::var(PART).as_deref() {
        Ok("observe") => Some(observe),
        Ok("interfere") => Some(interfere),
        _ => None,
    }
}

/// Another process of this program.
fn process(part: &str, seed: u64) -> Command {
    let mut process = Command::new(env::current_exe().unwrap());
    process.env(PART, part).env(SEED, seed.to_string());
    process
}

pub fn seconds() -> Option<Duration> {
    env::var(SECONDS).ok().map(|text| Duration::from_secs(text.parse().expect("a number of seconds")))
}

fn mirrors_stay_equal_and_nothing_leaks(_: &Lab) {
    let output = process("observe", 0).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    if seconds().is_some() {
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Follows the churn of round after round, and checks everything in every pause.
fn observe() {
    let (begin, duration) = (Instant::now(), seconds().unwrap_or(USUAL));
    let mut steady = Follower::new(SMALL_BUFFER);
    let descriptors = open_descriptors();
    let (mut rounds, mut changes, mut warm) = (0, 0, None);
    while begin.elapsed() < duration {
        changes += round(&mut steady, rounds);
        rounds += 1;
        assert_eq!(open_descriptors(), descriptors, "descriptors before and after round {rounds}");
        if begin.elapsed() > duration / 4 {
            warm.get_or_insert_with(resident_bytes);
        }
    }
    let (warm, end) = (warm.unwrap_or_else(resident_bytes), resident_bytes());
    println!(
        "{rounds} rounds in {:.0} s, {} quiet points, {} of them late: {changes} changes; the steady mirror lost events \
         {} times and had {} dumps; {descriptors} descriptors; {} KiB when warm, {} KiB at the end",
        begin.elapsed().as_secs_f64(),
        2 * rounds,
        steady.late,
        steady.mirror.overruns(),
        steady.mirror.dumps(),
        warm / 1024,
        end / 1024
    );
    assert!(steady.mirror.overruns() >= rounds && steady.mirror.dumps() > rounds);
    assert!(end < warm + warm / 4 + (4 << 20), "{warm} bytes of memory became {end}");
}

/// Runs some churn, then compares the mirrors with the kernel. Returns the number of changes that they yielded.
fn round(steady: &mut Follower, number: u64) -> usize {
    let before = steady.changes();
    // A burst that nobody reads: the steady mirror loses events in every round, however slow the writers are.
    churn(&mut Client::open().unwrap(), &mut Dice(number), FLOWS, 500);
    let mut passing = Follower::new(BUFFERS[number as usize % BUFFERS.len()]);
    let mut other = process("interfere", number).spawn().unwrap();
    let end = Instant::now() + ROUND;
    let is_over = || Instant::now() >= end;
    thread::scope(|scope| {
        scope.spawn(|| write(2 * number + 1, is_over));
        scope.spawn(|| flush(is_over));
        scope.spawn(|| abandon_dumps(is_over));
        scope.spawn(|| passing.follow_until(is_over));
        steady.follow_until(is_over);
    });
    assert!(other.wait().unwrap().success());
    steady.check();
    passing.check();
    steady.changes() - before + passing.changes()
}

/// The second process.
fn interfere() {
    let seed: u64 = env::var(SEED).unwrap().parse().unwrap();
    let end = Instant::now() + ROUND;
    write(2 * seed, || Instant::now() >= end);
}

fn write(seed: u64, is_over: impl Fn() -> bool) {
    let (mut client, mut dice) = (Client::open().unwrap(), Dice(seed));
    while !is_over() {
        churn(&mut client, &mut dice, FLOWS, 500);
    }
}

/// Empties the table with conntrack(8) if it is installed, and with a client otherwise.
fn flush(is_over: impl Fn() -> bool) {
    while !is_over() {
        thread::sleep(ROUND / 5);
        if !command("conntrack").arg("-F").output().is_ok_and(|output| output.status.success()) {
            Client::open().unwrap().delete_all().unwrap();
        }
    }
}

/// An abandoned dump occupies its socket, which the client has to replace.
fn abandon_dumps(is_over: impl Fn() -> bool) {
    let mut client = Client::open().unwrap();
    while !is_over() {
        let mut dump = client.dump().unwrap();
        for _ in 0..3 {
            dump.next_view().unwrap();
        }
        client.get(FlowKey::original(udp_flow(1).original)).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A socket keeps its namespace and the flows in it alive, even without a process or a name.
fn namespace_outlives_its_processes(_: &Lab) {
    let leave_behind = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        (Client::open().unwrap(), Follower::new(1 << 20))
    };
    let (mut client, mut follower) = thread::spawn(leave_behind).join().unwrap();
    for number in 1..=300 {
        client.create(&udp_flow(number)).unwrap();
    }
    follower.check();
    assert_eq!(follower.mirror.table().len(), 300);
    // Abandoned: the client opens another socket in a namespace that only it can find.
    client.dump().unwrap().next().unwrap().unwrap();
    client.delete_all().unwrap();
    follower.check();
    assert!(follower.mirror.table().is_empty());
}
