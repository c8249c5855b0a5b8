//! Every way to read text, with the properties of the result.

use std::io::BufReader;

use ctnetlink::{
    Flow, Status,
    proc::{ExpectationLine, Line, ReadError, Reader, Statistics},
};

/// Reads bytes in every way: as one line, as lines, and as a file.
pub(crate) fn read_all(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| line.len() < bytes.len());
    for line in lines.chain([bytes]) {
        read_line(line);
        read_expectation(line);
    }
    read_file(bytes);
}

/// A printed line is in the kernel's format and has the same values.
fn read_line(bytes: &[u8]) {
    let line = match Line::parse(bytes) {
        Ok(line) => line,
        Err(error) => {
            assert!(error.column() <= bytes.len() + 1, "{error}");
            return drop(error.to_string());
        }
    };
    let _ = (format!("{line:?}"), line.fields().count());
    assert!(line.unknown().count() <= line.fields().count());
    let printed = line.to_string();
    let again = Line::parse(printed.as_bytes()).unwrap_or_else(|error| panic!("{line:?}: {printed}: {error}"));
    assert_eq!(kernels(&again), kernels(&line), "{line:?}: {printed}");
    assert_eq!(again.to_string(), printed);
}

/// Returns the values that the kernel prints.
fn kernels(line: &Line<'_>) -> (Flow, [Option<u64>; 5], Option<String>) {
    let mut flow = line.to_flow();
    flow.status = Some(printed_status(line.status()));
    (flow.event_time, flow.helper, flow.id) = (None, None, None);
    let gre = line.gre_timeouts();
    let rest = [
        line.secmark().map(u64::from),
        line.printed_zone().map(u64::from),
        line.delta_time().map(|time| time.as_secs()),
        gre.map(|gre| gre.unreplied.into()),
        gre.map(|gre| gre.replied.into()),
    ];
    (flow, rest, line.state().map(|state| String::from_utf8_lossy(state).into_owned()))
}

/// The kernel prints only one of the last three bits.
fn printed_status(status: Status) -> Status {
    let last = [Status::HW_OFFLOAD, Status::OFFLOAD, Status::ASSURED].into_iter().find(|bit| status.contains(*bit));
    status & Status::SEEN_REPLY | last.unwrap_or_default()
}

fn read_expectation(bytes: &[u8]) {
    let Ok(line) = ExpectationLine::parse(bytes) else { return };
    let _ = (line.to_expectation(), format!("{line:?}"));
    let printed = line.to_string();
    let again =
        ExpectationLine::parse(printed.as_bytes()).unwrap_or_else(|error| panic!("{line:?}: {printed}: {error}"));
    assert_eq!((again.tuple(), again.timeout()), (line.tuple(), line.timeout()), "{line:?}: {printed}");
}

/// The lines of a file are the same if they are read one by one, at once, or through a buffer smaller than a line.
fn read_file(bytes: &[u8]) {
    let is_blank = |line: &&[u8]| line.iter().all(u8::is_ascii_whitespace);
    let alone = bytes.split(|byte| *byte == b'\n').filter(|line| !is_blank(line)).map(|line| Line::parse(line).ok());
    let alone: Vec<_> = alone.map(|line| line.map(|line| line.to_flow())).collect();
    let flows = |read: Result<Flow, ReadError>| read.ok();
    assert_eq!(Reader::new(bytes).map(flows).collect::<Vec<_>>(), alone);
    assert_eq!(Reader::new(BufReader::with_capacity(7, bytes)).map(flows).collect::<Vec<_>>(), alone);
    let _ = Statistics::read(bytes).map(|statistics| statistics.sum());
}
