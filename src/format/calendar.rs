//! Calendar dates.

use crate::Timestamp;

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: u32,
    /// 1 to 12.
    pub(super) month: u32,
    /// 1 to 31.
    pub(super) day: u32,
    /// 0 is Sunday.
    pub(super) weekday: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

impl Date {
    const SECONDS_OF_A_DAY: i64 = 86_400;
    /// The days in 400 years, after which the calendar repeats.
    const DAYS_OF_AN_ERA: i64 = 146_097;
    /// The days from 1 March of the year 0 to 1 January 1970.
    const DAYS_BEFORE_1970: i64 = 719_468;

    /// The date in a time zone that is `utc_offset_seconds` east of UTC.
    pub(super) fn at(time: Timestamp, utc_offset_seconds: i32) -> Self {
        // No overflow: the last timestamp is in the year 2554.
        let seconds = time.seconds() as i64 + i64::from(utc_offset_seconds);
        let (days, second) = (seconds.div_euclid(Self::SECONDS_OF_A_DAY), seconds.rem_euclid(Self::SECONDS_OF_A_DAY));
        let (year, month, day) = Self::civil(days);
        Self {
            year,
            month,
            day,
            // 1 January 1970 was a Thursday.
            weekday: (days + 4).rem_euclid(7) as u32,
            hour: (second / 3600) as u32,
            minute: (second / 60 % 60) as u32,
            second: (second % 60) as u32,
        }
    }

    /// Year, month and day. Counting years from March makes the leap day the last day of a year.
    fn civil(days: i64) -> (u32, u32, u32) {
        let days = days + Self::DAYS_BEFORE_1970;
        let (era, day) = (days.div_euclid(Self::DAYS_OF_AN_ERA), days.rem_euclid(Self::DAYS_OF_AN_ERA));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // March to July have 153 days, and so have August to December.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
        ((era * 400 + year) as u32, month as u32, day as u32)
    }

    pub(super) fn weekday_name(self) -> &'static str {
        ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].get(self.weekday as usize).copied().unwrap_or_default()
    }

    pub(super) fn month_name(self) -> &'static str {
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            .get((self.month as usize).saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_four_centuries_are_consecutive() {
        let mut expected = (1970, 1, 1);
        for day in 0..Date::DAYS_OF_AN_ERA {
            let date = Date::at(Timestamp(day as u64 * 86_400_000_000_000), 0);
            assert_eq!((date.year, date.month, date.day), expected);
            assert_eq!(i64::from(date.weekday), (day + 4) % 7);
            expected = next_day(expected);
        }
    }

    fn next_day((year, month, day): (u32, u32, u32)) -> (u32, u32, u32) {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        match (month, day) {
            (12, 31) => (year + 1, 1, 1),
            (_, day) if day == last => (year, month + 1, 1),
            _ => (year, month, day + 1),
        }
    }

    #[test]
    fn offsets_reach_before_1970() {
        let date = Date::at(Timestamp(0), -3600);
        assert_eq!((date.year, date.month, date.day, date.hour), (1969, 12, 31, 23));
        assert_eq!(date.weekday_name(), "Wed");
    }

    #[test]
    fn the_last_timestamp_has_a_date() {
        assert_eq!(Date::at(Timestamp(u64::MAX), i32::MAX).year, 2622);
    }
}
