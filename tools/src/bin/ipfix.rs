//! Exports NAT events and finished flows as IPFIX.

use std::{
    error::Error,
    fmt::Display,
    net::{SocketAddr, ToSocketAddrs},
    process::ExitCode,
    time::Duration,
};

use ctnetlink::{Filter, sysctl};
use ctnetlink_tools::{
    ipfix::{Configuration, LARGEST_MESSAGE, LEAST_MESSAGE, Settings, run},
    program::{self, Parsed},
    signals,
};
use lexopt::prelude::*;

const HELP: &str = "\
Exports NAT events and finished flows of this network namespace as IPFIX over UDP.

Usage: ipfix [OPTIONS] COLLECTOR...

  COLLECTOR                    HOST:PORT of a collector; all collectors get the same messages

Options:
  -d, --domain NUMBER          observation domain, unique for each exporter of a host [default: 1]
  -f, --filter FILTER          export matching flows only, for example 'src 192.168.0.0/16'
  -n, --nat-only               leave out the ends of flows without translation
  -s, --message-size BYTES     largest message, 512 to 8972; must fit the path MTU [default: 1400]
  -t, --template-interval SECONDS
                               how often templates are sent again [default: 60]
  -i, --statistics-interval SECONDS
                               how often statistics are sent, 0 for never [default: 600]
                               (lost events are reported within 10 seconds in any case)
  -b, --receive-buffer KIB     room for events that wait to be read [default: 65536]
  -h, --help                   print this help

Counters need net.netfilter.nf_conntrack_acct=1 and begin times net.netfilter.nf_conntrack_timestamp=1, both before a flow
begins. IPFIX over UDP is neither encrypted nor authenticated: protect the path to the collectors.

Needs CAP_NET_ADMIN. Ends on SIGINT and SIGTERM, after sending the waiting records.
";

fn main() -> ExitCode {
    program::main("ipfix", HELP, parse, |configuration| export(&configuration))
}

fn say(message: impl Display) {
    program::complain("ipfix", message);
}

fn export(configuration: &Configuration) -> Result<bool, Box<dyn Error>> {
    warn_about_settings();
    let stop = signals::stop_flag()?;
    let summary = run(configuration, &stop, || say(format_args!("exporting to {}", list(&configuration.collectors))))?;
    say(summary);
    Ok(true)
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn warn_about_settings() {
    for (setting, effect) in [(sysctl::ACCOUNTING, "have no counters"), (sysctl::TIMESTAMP, "have no begin time")] {
        if setting.read().is_ok_and(|value| value == 0) {
            say(format_args!("warning: {}=0: flows that begin now {effect}", setting.name()));
        }
    }
}

/// Returns `None` if help is asked for.
fn parse(mut arguments: lexopt::Parser) -> Parsed<Configuration> {
    let (mut settings, mut filter, mut collectors) = (Settings::default(), None, Vec::new());
    let mut receive_buffer = 64 << 20;
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Short('d') | Long("domain") => settings.domain = arguments.value()?.parse()?,
            Short('f') | Long("filter") => filter = Some(arguments.value()?.parse::<Filter>()?),
            Short('n') | Long("nat-only") => settings.nat_only = true,
            Short('s') | Long("message-size") => {
                settings.message_size = arguments.value()?.parse()?;
                if !(LEAST_MESSAGE..=LARGEST_MESSAGE).contains(&settings.message_size) {
                    return Err(format!("message size {} is not within 512 to 8972", settings.message_size).into());
                }
            }
            Short('t') | Long("template-interval") => {
                settings.template_interval = Duration::from_secs(arguments.value()?.parse::<u32>()?.max(1).into());
            }
            Short('i') | Long("statistics-interval") => {
                let interval = Duration::from_secs(arguments.value()?.parse::<u32>()?.into());
                settings.statistics_interval = (!interval.is_zero()).then_some(interval);
            }
            Short('b') | Long("receive-buffer") => {
                receive_buffer = arguments.value()?.parse::<u32>()?.clamp(1, 1 << 20) as usize * 1024;
            }
            Value(collector) => collectors.push(resolve(&collector.string()?)?),
            _ => return Err(argument.unexpected()),
        }
    }
    if collectors.is_empty() {
        return Err("expected at least one collector".into());
    }
    Ok(Some(Configuration { collectors, filter, receive_buffer, exporter: settings }))
}

fn resolve(collector: &str) -> Result<SocketAddr, lexopt::Error> {
    let failed = |reason: String| lexopt::Error::from(format!("collector {collector}: {reason}"));
    let mut addresses = collector.to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    addresses.next().ok_or_else(|| failed("the name has no address".into()))
}
