//! Printing a line keeps its values, and a line of the kernel prints as the same bytes.

use ctnetlink::proc::Line;

use super::source::Source;

#[path = "../../tests/support/proc/printed.rs"]
mod printed;
#[path = "../../tests/support/proc/readers.rs"]
mod readers;

use printed::{PROTOCOLS, Printed};

/// The first byte of inputs that contain the values of a line instead of its text. No line begins with it.
const VALUES: u8 = 0;

pub fn holds(bytes: &[u8]) {
    match bytes {
        [VALUES, values @ ..] => kernel_line_prints_as_it_was(&printed(&mut Source(values))),
        text => readers::read_all(text),
    }
}

fn kernel_line_prints_as_it_was(printed: &Printed) {
    let text = printed.line();
    let line = Line::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(line.to_string(), text);
    assert_eq!(line.unknown().count(), 0, "{text}");
    assert_eq!([line.original().layer4, line.reply().layer4], [printed.layer4(); 2], "{text}");
    assert_eq!((line.timeout(), line.mark()), (printed.timeout, printed.mark), "{text}");
    readers::read_all(text.as_bytes());
}

fn printed(source: &mut Source<'_>) -> Printed {
    let (one, two) = (source.u128(), source.u128());
    let (three, four) = if source.bool() { (two, one) } else { (source.u128(), source.u128()) };
    Printed {
        ipv6: source.bool(),
        addresses: [one, two, three, four],
        protocol: source.pick(&PROTOCOLS),
        keys: [source.u16(), source.u16(), source.u16()],
        timeout: source.option(Source::u32),
        zones: (source.bool(), source.bool(), source.u16()),
        counters: source.option(|source| [(); 4].map(|()| source.u64())),
        is_unreplied: source.bool(),
        flag: source.pick(&["", "[ASSURED] ", "[OFFLOAD] ", "[HW_OFFLOAD] "]),
        mark: source.option(Source::u32),
        context: source.option(context),
        delta_time: source.option(Source::u64),
        use_count: source.u32(),
    }
}

/// A security context: words that do not look like fields.
fn context(source: &mut Source<'_>) -> String {
    let letter = |source: &mut Source<'_>| char::from(source.pick(b"abcdefghijklmnopqrstuvwxyz_:"));
    let word = |source: &mut Source<'_>| String::from_iter([letter(source)].into_iter().chain(source.list(20, letter)));
    [word(source)].into_iter().chain(source.list(3, word)).collect::<Vec<_>>().join(" ")
}
