//! `-h` and `-V`.

use std::io::{self, Write as _};

use ctnetlink::{DccpState, Protocol, SctpState, TcpState};

use crate::{
    NAME,
    arguments::{Arguments, Field},
    failure::Outcome,
};

const HELP: &str = "\
Usage: conntrack COMMAND [TABLE] [OPTIONS]
Lists, watches and changes the connection tracking table: conntrack -L -p tcp --dport 22

Commands:
  -L, --dump            list entries
  -G, --get             show one entry
  -D, --delete          delete entries
  -I, --create          create an entry that does not exist yet
  -A, --add             create an entry, or update an existing one
  -U, --update          change entries
  -E, --event           show events as they happen
  -F, --flush           delete all entries
  -C, --count           show the number of entries
  -S, --stats           show the counters of each processor
  -R, --load-file FILE  run the -I, -A, -U, -D and -F commands of a file; `-' is the standard input
  -V, --version         show the version
  -h, --help            show this help; with -p, the options of a protocol

Tables: conntrack (the default), expect, dying, unconfirmed

Selecting flows:
  -s, --src, --orig-src ADDRESS[/LENGTH]  source of the original direction
  -d, --dst, --orig-dst ADDRESS[/LENGTH]  destination of the original direction
  -r, --reply-src ADDRESS                 source of the reply direction
  -q, --reply-dst ADDRESS                 destination of the reply direction
      --mask-src, --mask-dst MASK         a mask instead of a length
  -p, --protonum PROTOCOL                 name or number; enables the options of the protocol, such as --dport
                                          (-h -p PROTOCOL lists them)
  -f, --family ipv4|ipv6
  -n, --src-nat [ADDRESS[:PORT]]          with a translated source; with -I and -A: its translation
  -g, --dst-nat [ADDRESS[:PORT]]          with a translated destination; with -I and -A: its translation
  -j, --any-nat [ADDRESS[:PORT]]          with either
  -w, --zone NUMBER                       zone of both directions; 0: without a zone in either direction
      --orig-zone, --reply-zone NUMBER    zone of that direction, whether or not the other has it too
                                          (conntrack(8): only if the other has not; -w 0 also with either)
  -l, --label LABEL[,LABEL...]            with all of these labels
  -i, --id NUMBER
      --filter EXPRESSION                 for example 'src 10.0.0.0/8 and not (assured or mark 0x10/0xff)'

Selecting flows with -L, -D and -E, and values to set with -I, -A and -U:
  -t, --timeout SECONDS
  -m, --mark MARK[/MASK]
  -u, --status STATUS[,STATUS...]         ASSURED, SEEN_REPLY, FIXED_TIMEOUT; to select also EXPECTED, OFFLOAD,
                                          HW_OFFLOAD, UNREPLIED and UNSET; `!STATUS' negates all but the last two
      --helper NAME                       with -I and -A only: for example ftp
      --label-add LABEL[,LABEL...]
      --label-del [LABEL[,LABEL...]]      all labels unless some are named
  -c, --secmark NUMBER                    ignored, because the kernel does not report it
  -a, --nat-range ADDRESS                 ignored, as by conntrack(8)
      --labelmap FILE                     names of labels, instead of /etc/xtables/connlabel.conf

Expectations:
      --tuple-src, --tuple-dst ADDRESS    addresses of the expected flow

Output:
  -o, --output FORMAT[,FORMAT...]         extended, id, timestamp, ktimestamp, labels, userspace; xml, save, json
  -z, --zero                              set counters to zero after they are listed
  -e, --event-mask KIND[,KIND...]         ALL, NEW, UPDATES, DESTROY
  -b, --buffer-size BYTES                 receive buffer for events
      --explain                           print the requests for a kernel of this release, and send nothing
      --explain=probe                     the same for the running kernel: probe its filters, and change nothing

Examples:
  conntrack -D -p udp --dport 53 -s 10.0.0.0/8    delete flows
  conntrack -U -p tcp --dport 22 -m 7             set a mark
  conntrack -E -e NEW,DESTROY -o timestamp        watch flows begin and end
  conntrack -L -o save > flows                    save the table, for `conntrack -R flows'
";

pub fn version() -> Outcome {
    Ok(writeln!(io::stdout(), "{NAME}")?)
}

pub fn help(arguments: &Arguments) -> Outcome {
    let mut output = io::stdout().lock();
    writeln!(output, "{NAME}")?;
    output.write_all(HELP.as_bytes())?;
    let Some(protocol) = arguments.protocol else { return Ok(()) };
    let mut names = Field::LONG.iter().filter(|(_, field)| field.is_of(protocol)).peekable();
    if names.peek().is_none() {
        writeln!(output, "\n{protocol} has no options of its own.")?;
        return Ok(());
    }
    writeln!(output, "\nOptions of {protocol}:")?;
    for (name, field) in names {
        writeln!(output, "      --{name} {}", value(*field))?;
    }
    let states: Vec<&str> = match protocol {
        Protocol::TCP => TcpState::NAMED.iter().map(|(_, name)| *name).collect(),
        Protocol::SCTP => SctpState::NAMED.iter().map(|(_, name)| *name).collect(),
        Protocol::DCCP => DccpState::NAMED.iter().map(|(_, name)| *name).collect(),
        _ => return Ok(()),
    };
    writeln!(output, "States: {}", states.join(", "))?;
    Ok(())
}

/// The kind of value in the help.
const fn value(field: Field) -> &'static str {
    match field {
        Field::State => "STATE",
        Field::Role => "client|server",
        _ => "NUMBER",
    }
}
