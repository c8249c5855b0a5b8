//! Creates flows in a private network namespace, lists the table, and selects web traffic with a filter:
//! `cargo run --example demo`. Root is not needed. If the kernel refuses, a recording is decoded instead.

mod support;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use ctnetlink::{Filter, Flow};
use support::Outcome;

const USAGE: &str = "usage: demo

Creates flows in a private network namespace, lists them, and selects web traffic with a filter.
Example: demo";

fn main() -> ExitCode {
    support::main(USAGE, demo)
}

fn demo(arguments: &[String]) -> Outcome {
    let [] = arguments else { return Err(USAGE.into()) };
    let mut output = io::stdout().lock();
    let flows = match private::table() {
        Ok(flows) => flows,
        Err(reason) => {
            writeln!(output, "No private connection tracking here: {reason}.")?;
            writeln!(output, "The following flows were recorded on Linux 6.18.\n")?;
            recording()
        }
    };
    writeln!(output, "The table:")?;
    for flow in &flows {
        writeln!(output, "  {flow}")?;
    }
    let web: Filter = "proto tcp and dport 80,443".parse()?;
    writeln!(output, "\nMatching `{web}`:")?;
    for flow in flows.iter().filter(|flow| web.matches(*flow)) {
        let seconds = flow.timeout.unwrap_or(0);
        writeln!(output, "  {} -> {}, {seconds} s left", flow.original.source, flow.original.destination)?;
    }
    Ok(())
}

/// Decodes the recorded dump that ships with the crate.
fn recording() -> Vec<Flow> {
    use ctnetlink::wire::Messages;

    let mut flows = Vec::new();
    for line in include_str!("../tests/data/vectors-dump.jsonl").lines() {
        let datagram: Vec<u8> = line.split('"').rev().nth(1).map(bytes).unwrap_or_default();
        let messages = Messages::new(&datagram).map_while(Result::ok);
        flows.extend(messages.filter_map(|message| Flow::decode(&message).ok()));
    }
    flows
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map_while(|pair| std::str::from_utf8(pair).ok());
    pairs.map_while(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

/// A private table.
#[cfg(all(target_os = "linux", feature = "client"))]
mod private {
    use ctnetlink::{Client, Flow, NatRange, NewFlow, Status, TcpState, Tuple};
    use nix::sched::{CloneFlags, unshare};

    use crate::support::Outcome;

    /// Fills a private table and returns the flows that the kernel lists.
    pub(super) fn table() -> Outcome<Vec<Flow>> {
        enter_private_namespace()?;
        let mut client = Client::open()?;
        let mut batch = client.batch();
        for flow in sample_flows()? {
            batch.push(&flow)?;
        }
        if let Some((_, error)) = batch.finish()?.failures().first() {
            return Err(error.clone().into());
        }
        Ok(client.dump()?.collect::<Result<_, _>>()?)
    }

    /// Enters a private network namespace, which needs no permission and has none of the machine's flows.
    fn enter_private_namespace() -> Result<(), String> {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let mut flags = CloneFlags::CLONE_NEWNET;
        flags.set(CloneFlags::CLONE_NEWUSER, !uid.is_root());
        unshare(flags).map_err(|error| format!("cannot create a network namespace ({error})"))?;
        if !uid.is_root() {
            let map = |file, text: String| std::fs::write(file, text).map_err(|error| format!("{file}: {error}"));
            map("/proc/self/setgroups", "deny".into())?;
            map("/proc/self/uid_map", format!("0 {uid} 1"))?;
            map("/proc/self/gid_map", format!("0 {gid} 1"))?;
        }
        Ok(())
    }

    fn sample_flows() -> Outcome<Vec<NewFlow>> {
        let ssh = Tuple::tcp("192.0.2.10:50022".parse()?, "192.0.2.20:22".parse()?);
        let web = Tuple::tcp("10.0.0.5:41000".parse()?, "198.51.100.7:443".parse()?);
        let dns = Tuple::udp("[2001:db8::5]:40053".parse()?, "[2001:db8::1]:53".parse()?);
        let ping = Tuple::icmp("192.0.2.10".parse()?, "192.0.2.20".parse()?, 8, 0, 4711);
        let gre = Tuple::gre("192.0.2.10".parse()?, "192.0.2.20".parse()?, 0, 0);
        let new = |tuple, timeout| NewFlow::untranslated(tuple, timeout).ok_or("the tuple has no answer");

        let mut ssh = new(ssh, 432_000)?.liberal_tcp(TcpState::ESTABLISHED);
        ssh.status = Status::SEEN_REPLY | Status::ASSURED;
        let mut web = new(web, 300)?.liberal_tcp(TcpState::SYN_SENT);
        web.snat = Some(NatRange::address("203.0.113.1".parse()?));
        let mut dns = new(dns, 30)?;
        dns.mark = Some(10);
        Ok(vec![ssh, web, dns, new(ping, 30)?, new(gre, 180)?])
    }
}

#[cfg(not(all(target_os = "linux", feature = "client")))]
mod private {
    pub(super) fn table() -> crate::support::Outcome<Vec<ctnetlink::Flow>> {
        Err("it needs Linux and the feature `client`".into())
    }
}
