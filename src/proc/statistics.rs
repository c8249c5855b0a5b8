//! `/proc/net/stat/nf_conntrack`: counts for each processor.

use std::io::{self, BufRead};

use super::{
    Expected, LineError, ReadError,
    reader::{Lines, Paths},
    scan::Cursor,
};
use crate::model::{CpuStatistics, ExpectationStatistics};

/// The maximum number of rows: a kernel cannot be built for more processors (`CONFIG_NR_CPUS`).
const MOST_ROWS: usize = 8192;

/// The counts of `/proc/net/stat/nf_conntrack`.
///
/// Columns are found by name, because kernels rename them in place: the second is `searched` before Linux 5.10 and
/// `clashres` since, the eighth is `delete_list` before 5.15 and `chainlength` since. Unknown columns are skipped.
///
/// Source: `ct_cpu_seq_show` in `net/netfilter/nf_conntrack_standalone.c`.
///
/// # Example
///
/// ```
/// use ctnetlink::proc::Statistics;
///
/// let text = "\
/// entries  clashres found new invalid insert insert_failed  expect_new expect_create expect_delete search_restart
/// 00000018  00000001 00000000 00000000 00000008 00000008 00000000  00000000 00000003 00000001 00000000
/// 00000018  00000002 00000000 00000000 00000002 00000002 00000000  00000000 00000002 00000003 00000000
/// ";
/// let statistics = Statistics::read(text.as_bytes())?;
/// assert_eq!(statistics.entries, Some(24));
/// assert_eq!(statistics.rows[1].flows.clash_resolve, Some(2));
/// assert_eq!(statistics.sum().flows.clash_resolve, Some(3));
/// assert_eq!(statistics.sum().expectations.create, Some(5));
/// assert_eq!(statistics.sum().flows.searched, None);
/// # Ok::<(), ctnetlink::proc::ReadError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// The number of flows in the table of the namespace, including flows being created and removed. Every row of the
    /// file repeats it.
    pub entries: Option<u32>,
    /// One row for each possible processor, in order.
    pub rows: Vec<StatisticsRow>,
}

/// The counts of one processor.
///
/// # Example
///
/// ```no_run
/// use ctnetlink::proc;
///
/// for row in proc::read_statistics()?.rows {
///     println!("{:?} packets dropped, {:?} expectations created", row.flows.drop, row.expectations.create);
/// }
/// # Ok::<(), ctnetlink::proc::ReadError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatisticsRow {
    /// Counts of packets and flows. `cpu` is the index of the row, because the file does not name processors.
    pub flows: CpuStatistics,
    /// Counts of expectations.
    pub expectations: ExpectationStatistics,
}

impl StatisticsRow {
    /// The count of a column, or `None` for an unknown name.
    fn column(&mut self, name: &[u8]) -> Option<&mut Option<u32>> {
        let Self { flows, expectations } = self;
        Some(match name {
            b"searched" => &mut flows.searched,
            b"found" => &mut flows.found,
            b"new" => &mut flows.new,
            b"invalid" => &mut flows.invalid,
            b"ignore" => &mut flows.ignore,
            b"delete" => &mut flows.delete,
            b"delete_list" => &mut flows.delete_list,
            b"insert" => &mut flows.insert,
            b"insert_failed" => &mut flows.insert_failed,
            b"drop" => &mut flows.drop,
            b"early_drop" => &mut flows.early_drop,
            b"icmp_error" => &mut flows.error,
            b"search_restart" => &mut flows.search_restart,
            b"clashres" => &mut flows.clash_resolve,
            b"chainlength" => &mut flows.chain_too_long,
            b"expect_new" => &mut expectations.new,
            b"expect_create" => &mut expectations.create,
            b"expect_delete" => &mut expectations.delete,
            _ => return None,
        })
    }

    fn sum(self, other: &Self) -> Self {
        Self { flows: self.flows.sum(&other.flows), expectations: self.expectations.sum(&other.expectations) }
    }
}

impl Statistics {
    /// Reads the whole file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, has no header, or has a row without a hexadecimal number for each column.
    pub fn read(source: impl BufRead) -> Result<Self, ReadError> {
        let mut lines = Lines::new(source);
        let header = match lines.next() {
            Some(header) => header?.1.to_vec(),
            None => return Err(LineError::new(Expected::Columns, &[], 0).in_line(1).into()),
        };
        let mut statistics = Self::default();
        while let Some(line) = lines.next() {
            let (number, line) = line?;
            if statistics.rows.len() == MOST_ROWS {
                return Err(LineError::new(Expected::NoMoreRows, line, 0).in_line(number).into());
            }
            statistics.push(&header, line).map_err(|error| error.in_line(number))?;
        }
        Ok(statistics)
    }

    fn push(&mut self, header: &[u8], line: &[u8]) -> Result<(), LineError> {
        let mut row = StatisticsRow::default();
        row.flows.cpu = u16::try_from(self.rows.len()).unwrap_or(u16::MAX);
        row.expectations.cpu = row.flows.cpu;
        let mut cursor = Cursor::new(line);
        for name in words(header) {
            cursor.skip_blanks();
            let value = hexadecimal(&mut cursor)
                .ok_or_else(|| LineError::new(Expected::Column, line, line.len() - cursor.rest().len()))?;
            match row.column(name) {
                Some(count) => *count = Some(value),
                None if name == b"entries" => self.entries = Some(value),
                None => {}
            }
        }
        self.rows.push(row);
        Ok(())
    }

    /// Returns the sum over all processors. Counts wrap at 32 bits, like the kernel's.
    #[must_use]
    pub fn sum(&self) -> StatisticsRow {
        self.rows.iter().fold(StatisticsRow::default(), StatisticsRow::sum)
    }
}

/// Reads the statistics (`/proc/thread-self/net/stat/nf_conntrack`). Every user may read this file.
///
/// # Errors
///
/// The same as [`open`](super::open()) and [`Statistics::read`].
pub fn read_statistics() -> Result<Statistics, ReadError> {
    const PATHS: Paths =
        Paths { thread: "/proc/thread-self/net/stat/nf_conntrack", process: "/proc/net/stat/nf_conntrack" };
    Statistics::read(PATHS.open().map_err(io::Error::from)?)
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Reads a word of one to eight hexadecimal digits.
fn hexadecimal(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut ahead = *cursor;
    let word = ahead.until(|byte| byte.is_ascii_whitespace());
    if !(1..=8).contains(&word.len()) {
        return None;
    }
    let value = word.iter().try_fold(0, |value, byte| Some(value << 4 | char::from(*byte).to_digit(16)?))?;
    *cursor = ahead;
    Some(value)
}
