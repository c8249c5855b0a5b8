//! Shows the busiest sources, destinations, services and flows.

use std::{error::Error, process::ExitCode, time::Duration};

use ctnetlink_tools::{
    program::{self, Parsed},
    signals,
    top::{Configuration, run},
};
use lexopt::prelude::*;

const HELP: &str = "\
Shows the busiest sources, destinations, services and flows of a network namespace.

Usage: top [OPTIONS]

Options:
  -n, --namespace NAME     a namespace in /run/netns, or a path such as /proc/PID/ns/net
  -f, --filter FILTER      show matching flows only, for example 'proto tcp and dport 443'
  -i, --interval SECONDS   time between readings [default: 2]
  -h, --help               print this help

Keys:
  1 2 3 4, Tab             group by source, destination, service; single flows
  s                        sort by bytes, packets, flows
  f, /                     edit the filter: Enter applies, Esc cancels, Ctrl-U clears
  v                        show IPv4 and IPv6, IPv4, IPv6
  p, Space                 pause, go on
  Up Down PageUp PageDown  scroll
  q, Ctrl-C                quit

Rates need net.netfilter.nf_conntrack_acct=1 before a flow begins. An asterisk marks offloaded flows, whose counters may
stand still. Needs CAP_NET_ADMIN.
";

fn main() -> ExitCode {
    program::main("top", HELP, parse, |configuration| show(&configuration))
}

fn show(configuration: &Configuration) -> Result<bool, Box<dyn Error>> {
    // SIGHUP ends the program at once: its terminal is gone, and crossterm would read from it for ever.
    run(configuration, &*signals::stop_flag()?)?;
    Ok(true)
}

/// Returns `None` if help is asked for.
fn parse(mut arguments: lexopt::Parser) -> Parsed<Configuration> {
    let mut configuration = Configuration { namespace: None, filter: String::new(), interval: Duration::from_secs(2) };
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Short('n') | Long("namespace") => configuration.namespace = Some(arguments.value()?.string()?),
            Short('f') | Long("filter") => configuration.filter = arguments.value()?.string()?,
            Short('i') | Long("interval") => {
                let seconds: f64 = arguments.value()?.parse()?;
                if !(0.1..=3600.0).contains(&seconds) {
                    return Err(format!("interval {seconds} is not within 0.1 to 3600 seconds").into());
                }
                configuration.interval = Duration::from_secs_f64(seconds);
            }
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(configuration))
}
