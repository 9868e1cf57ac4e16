//! `time`: the moment of the decision, in a time zone.
//!
//! The moment comes with the request: nothing here reads a clock. The rules of time zones are compiled in, so that the
//! same files decide the same on every machine.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::evidence::Evidence;
use super::{Condition, Reading, Test, Truth};
use crate::Request;
use crate::fields::{Field, Object, Shape, Text, Word};
use crate::problem::did_you_mean;

/// The keys of `time`.
pub(crate) const FIELDS: &[Field] = &[
    Field {
        name: "days",
        shape: Shape::Words(DAYS),
        required: false,
        manual: "It is one of these days. After midnight it is the next day, also in hours that began before.",
    },
    Field {
        name: "hours",
        shape: Shape::Object(HOURS),
        required: false,
        manual: "It is between these times of day; over midnight, where the first is the later one.",
    },
    Field { name: "dates", shape: Shape::Object(DATES), required: false, manual: "It is between these dates." },
    Field {
        name: "time_zone",
        shape: Shape::Text,
        required: false,
        manual: "Where days, hours and dates are reckoned, as the IANA data base names it (`Europe/Berlin`). \
                 Default: UTC.",
    },
];

const HOURS: &[Field] = &[
    Field { name: "from", shape: Shape::Text, required: true, manual: "From this minute on, as `08:00`." },
    Field { name: "to", shape: Shape::Text, required: true, manual: "Up to, not including, this minute, as `18:00`." },
];

const DATES: &[Field] = &[
    Field { name: "from", shape: Shape::Text, required: false, manual: "From this day on, as `2026-11-21`." },
    Field { name: "to", shape: Shape::Text, required: false, manual: "Up to and including this day." },
];

/// The days of the week, as the moments of [`Moment::weekday`] count them.
const DAYS: &[Word] = &[
    Word { name: "mon", manual: "Monday." },
    Word { name: "tue", manual: "Tuesday." },
    Word { name: "wed", manual: "Wednesday." },
    Word { name: "thu", manual: "Thursday." },
    Word { name: "fri", manual: "Friday." },
    Word { name: "sat", manual: "Saturday." },
    Word { name: "sun", manual: "Sunday." },
];

/// The last second that is reckoned with: the end of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

const MINUTES_OF_A_DAY: u32 = 24 * 60;

/// A moment in a time zone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(DateTime<Tz>);

impl Moment {
    /// The moment of a request's decision.
    pub(crate) fn of(request: &Request, zone: Tz) -> Result<Self, String> {
        // Close to the ends of what it can hold, an offset would overflow: these are years that nobody means.
        let reckoned = (0..=SECONDS_MAX - i64::from(MINUTES_OF_A_DAY) * 60).contains(&request.facts.now);
        let moment = DateTime::from_timestamp(request.facts.now, 0).filter(|_| reckoned);
        let unknown = || format!("no time is known for second {} since 1970", request.facts.now);
        moment.map(|moment| Self(moment.with_timezone(&zone))).ok_or_else(unknown)
    }

    /// `mon` to `sun`.
    pub(crate) fn weekday(self) -> &'static str {
        let number = usize::try_from(self.0.weekday().num_days_from_monday()).unwrap_or(0);
        DAYS.get(number).map_or("", |word| word.name)
    }

    /// The hour, from 0 to 23.
    pub(crate) fn hour(self) -> u32 {
        self.0.hour()
    }

    /// The minute of the hour.
    pub(crate) fn minute(self) -> u32 {
        self.0.minute()
    }

    /// The day, as `2026-11-21`.
    pub(crate) fn date(self) -> String {
        let (year, month, day) = (self.0.year(), self.0.month(), self.0.day());
        format!("{year:04}-{month:02}-{day:02}")
    }

    fn minute_of_day(self) -> u32 {
        self.hour() * 60 + self.minute()
    }

    /// When it is, as a clause of evidence.
    pub(crate) fn fact(self) -> String {
        format!("it is {self}")
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = match self.weekday() {
            "mon" => "Monday",
            "tue" => "Tuesday",
            "wed" => "Wednesday",
            "thu" => "Thursday",
            "fri" => "Friday",
            "sat" => "Saturday",
            _ => "Sunday",
        };
        let (hour, minute) = (self.hour(), self.minute());
        write!(formatter, "{day} {} {hour:02}:{minute:02} in {}", self.date(), self.0.timezone().name())
    }
}

/// Reads a time zone by its name, or says what may be meant.
pub(crate) fn time_zone(written: &str) -> Result<Tz, (String, Option<String>)> {
    written.parse::<Tz>().map_err(|_| {
        let known = || TZ_VARIANTS.iter().map(|zone| zone.name());
        let city = known().find(|name| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(written)));
        let suggestion = city
            .map(|name| format!("did you mean \"{name}\"?"))
            .or_else(|| did_you_mean(written, known()))
            .unwrap_or_else(|| "write it as the IANA data base does, such as \"Europe/Berlin\"".to_owned());
        (format!("no time zone is called \"{written}\""), Some(suggestion))
    })
}

#[derive(Debug)]
struct TimeTest {
    zone: Tz,
    days: Option<Vec<&'static str>>,
    /// Minutes of the day, the first included, the second not.
    hours: Option<(u32, u32)>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
}

/// Compiles what stands at `time`.
pub(super) fn compile(object: Object<'_>, key: &'static str, reading: &mut Reading<'_, '_>) -> Option<Condition> {
    reading.context.tells_time = true;
    let time = object.object(key)?;
    if time.has("time_zone") && !["days", "hours", "dates"].into_iter().any(|key| time.has(key)) {
        let suggestion = Some("add \"days\", \"hours\" or \"dates\"".to_owned());
        let message = "the time zone alone says nothing of the time".to_owned();
        reading.context.problems.push(time.problem_at("time_zone", message, suggestion));
    }
    let day = |written: Text<'_>| DAYS.iter().find(|day| day.name == written.value).map(|day| day.name);
    let days = time.has("days").then(|| time.names("days").filter_map(day).collect());
    // Each is read before any fault is met, so that all faults are told at once.
    let zone = optional(time.text("time_zone"), |written| reading.read(&written, time_zone));
    let hours = optional(time.object("hours"), |hours| compile_hours(hours, reading));
    let dates = optional(time.object("dates"), |dates| compile_dates(dates, reading));
    let (from, to) = dates?.unwrap_or_default();
    Some(Condition::test(TimeTest { zone: zone?.unwrap_or(Tz::UTC), days, hours: hours?, from, to }))
}

/// What stands at a key, read; nothing where nothing stands there; `None` where it had a problem.
fn optional<T, U>(written: Option<T>, read: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match written {
        Some(written) => read(written).map(Some),
        None => Some(None),
    }
}

fn compile_hours(hours: Object<'_>, reading: &mut Reading<'_, '_>) -> Option<(u32, u32)> {
    let mut read = |key| hours.text(key).and_then(|written| reading.read(&written, time_of_day));
    let (from, to) = (read("from"), read("to"));
    let (from, to) = (from?, to?);
    if from == to || from == MINUTES_OF_A_DAY {
        let message = "no time is between these two".to_owned();
        let suggestion = Some("write 00:00 and 24:00 for the whole day".to_owned());
        reading.context.problems.push(hours.problem_at("from", message, suggestion));
    }
    Some((from, to))
}

fn compile_dates(dates: Object<'_>, reading: &mut Reading<'_, '_>) -> Option<(Option<NaiveDate>, Option<NaiveDate>)> {
    let mut read = |key| optional(dates.text(key), |written| reading.read(&written, date));
    let (from, to) = (read("from"), read("to"));
    let (from, to) = (from?, to?);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        let message = "the first date is after the last".to_owned();
        reading.context.problems.push(dates.problem_at("from", message, Some("swap them".to_owned())));
    }
    Some((from, to))
}

/// Minutes since midnight of `08:00`; 24:00 is the end of the day.
fn time_of_day(written: &str) -> Result<u32, (String, Option<String>)> {
    let two_digits = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() == 2 && !text.starts_with('+'));
    let parts = written.split_once(':').and_then(|(hour, minute)| Some((two_digits(hour)?, two_digits(minute)?)));
    let fault = || (format!("\"{written}\" is not a time of day"), Some("write it as \"08:00\"".to_owned()));
    let (hour, minute) = parts.ok_or_else(fault)?;
    let minutes = hour * 60 + minute;
    if minute < 60 && minutes <= MINUTES_OF_A_DAY { Ok(minutes) } else { Err(fault()) }
}

/// Reads a date, or says why it is none.
pub(crate) fn date(written: &str) -> Result<NaiveDate, (String, Option<String>)> {
    let shaped = written.len() == 10 && written.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    written
        .parse::<NaiveDate>()
        .ok()
        .filter(|_| shaped)
        .ok_or_else(|| (format!("\"{written}\" is not a date"), Some("write it as \"2026-11-21\"".to_owned())))
}

impl TimeTest {
    fn holds(&self, moment: Moment) -> bool {
        let date = moment.0.date_naive();
        self.days.as_ref().is_none_or(|days| days.contains(&moment.weekday()))
            && self.hours.is_none_or(|hours| is_between(moment.minute_of_day(), hours))
            && self.from.is_none_or(|from| from <= date)
            && self.to.is_none_or(|to| date <= to)
    }
}

/// Whether a minute of the day is between two; over midnight, where the first is the later one.
fn is_between(minute: u32, (from, to): (u32, u32)) -> bool {
    match from < to {
        true => (from..to).contains(&minute),
        false => minute >= from || minute < to,
    }
}

impl Test for TimeTest {
    fn truth(&self, request: &Request) -> Truth {
        match Moment::of(request, self.zone) {
            Ok(moment) => Truth::from(self.holds(moment)),
            Err(why) => Truth::Unknown(why),
        }
    }

    fn evidence(&self, request: &Request, _: bool, found: &mut Evidence) {
        if let Ok(moment) = Moment::of(request, self.zone) {
            found.fact(moment.fact());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_may_go_over_midnight() {
        let night = (22 * 60, 6 * 60);
        assert!(is_between(22 * 60, night) && is_between(0, night) && is_between(6 * 60 - 1, night));
        assert!(!is_between(6 * 60, night) && !is_between(22 * 60 - 1, night));
        assert!(is_between(23 * 60 + 59, (0, MINUTES_OF_A_DAY)));
    }

    #[test]
    fn times_and_dates_are_read_as_written_and_nothing_else() {
        assert_eq!(time_of_day("08:30"), Ok(510));
        assert_eq!(time_of_day("24:00"), Ok(MINUTES_OF_A_DAY));
        for written in ["8:00", "08:60", "24:01", "25:00", "08", "+8:00", "08:00:00", " 08:00", "é8:00", ""] {
            assert!(time_of_day(written).is_err(), "{written}");
        }
        assert!(date("2024-02-29").is_ok());
        for written in ["2026-02-29", "2026-2-1", "21.11.2026", "+2026-01-1", ""] {
            assert!(date(written).is_err(), "{written}");
        }
    }
}
