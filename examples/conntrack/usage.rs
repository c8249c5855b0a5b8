//! What can be asked for.

use std::io::{self, Write as _};

use crate::{
    NAME,
    arguments::{Arguments, Field},
    failure::Outcome,
};

const HELP: &str = "\
Usage: conntrack COMMAND [TABLE] [OPTIONS]

Commands:
  -L, --dump            list entries
  -G, --get             show one entry
  -D, --delete          delete entries
  -I, --create          create an entry; fails where there is such a one
  -A, --add             create an entry, or update the one that there is
  -U, --update          change entries
  -E, --event           show events as they happen
  -F, --flush           delete all entries
  -C, --count           show how many entries there are
  -S, --stats           show what each processor counts
  -R, --load-file FILE  run the -I, -A, -U, -D and -F of a file; `-' is the standard input
  -V, --version         show the version
  -h, --help            show this; with -p, the options of a protocol

Tables: conntrack (unless another is named), expect, dying, unconfirmed

Which flows:
  -s, --src, --orig-src ADDRESS[/LENGTH]  source, as the initiator sees it
  -d, --dst, --orig-dst ADDRESS[/LENGTH]  destination, as the initiator sees it
  -r, --reply-src ADDRESS                 source of the answers
  -q, --reply-dst ADDRESS                 destination of the answers
      --mask-src, --mask-dst MASK         the bits that count, instead of a length
  -p, --protonum PROTOCOL                 by name or number; has options of its own: see -h -p PROTOCOL
  -f, --family ipv4|ipv6
  -n, --src-nat [ADDRESS[:PORT]]          the source is translated
  -g, --dst-nat [ADDRESS[:PORT]]          the destination is translated
  -j, --any-nat [ADDRESS[:PORT]]          one or the other is
  -w, --zone NUMBER                       zone of both directions
      --orig-zone, --reply-zone NUMBER    zone of one direction
  -l, --label LABEL[,LABEL...]            have all of these labels
  -i, --id NUMBER
      --filter EXPRESSION                 for instance 'src 10.0.0.0/8 and not (assured or mark 0x10/0xff)'

Which flows, or what to set with -I, -A and -U:
  -t, --timeout SECONDS
  -m, --mark MARK[/MASK]
  -u, --status STATUS[,STATUS...]         ASSURED, SEEN_REPLY, FIXED_TIMEOUT; of flows to be found also EXPECTED,
                                          OFFLOAD, HW_OFFLOAD, UNREPLIED, UNSET, and `!' before any but the last two
      --label-add LABEL[,LABEL...]
      --label-del [LABEL[,LABEL...]]      all of them unless some are named
  -c, --secmark NUMBER                    taken and ignored: the kernel does not tell it
  -a, --nat-range ADDRESS                 taken and ignored, as conntrack 1.4.7 does
      --labelmap FILE                     names of labels, instead of /etc/xtables/connlabel.conf

Expectations:
      --tuple-src, --tuple-dst ADDRESS    what is expected

Output:
  -o, --output FORMAT[,FORMAT...]         extended, id, timestamp, ktimestamp, labels, userspace; xml, save, json
  -z, --zero                              set counters to zero as they are listed
  -e, --event-mask KIND[,KIND...]         ALL, NEW, UPDATES, DESTROY
  -b, --buffer-size BYTES                 room for events in the kernel
      --explain                           say what would be asked of a kernel of this release, and send nothing
      --explain=probe                     the same of this very kernel: find out what it understands, by requests that
                                          change nothing
";

pub fn version() -> Outcome {
    Ok(writeln!(io::stdout(), "{NAME}")?)
}

pub fn help(arguments: &Arguments) -> Outcome {
    let mut output = io::stdout().lock();
    writeln!(output, "{NAME}")?;
    output.write_all(HELP.as_bytes())?;
    let Some(protocol) = arguments.protocol else { return Ok(()) };
    let mut names = Field::LONG.iter().filter(|(_, field)| field.is_of(protocol)).map(|(name, _)| name).peekable();
    if names.peek().is_none() {
        writeln!(output, "\n{protocol} has no options of its own.")?;
        return Ok(());
    }
    writeln!(output, "\nOptions of {protocol}:")?;
    for name in names {
        writeln!(output, "      --{name}")?;
    }
    Ok(())
}
