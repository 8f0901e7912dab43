//! How bad a message is: as the journal or a JSON field says, or guessed from the first words of its first line.

/// How bad a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The program cannot go on.
    Critical,
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warning,
    /// Something happened.
    Info,
    /// For those who look for a mistake.
    Debug,
    /// The message does not say.
    Unknown,
}

/// So many words of a line are looked at.
const GUESS_WORDS: usize = 7;
/// A word longer than this is data.
const GUESS_WORD_BYTES: usize = 256;

/// A word that begins so has that level.
const BEGINNINGS: &[(&str, Level)] = &[
    ("debu", Level::Debug),
    ("info", Level::Info),
    ("noti", Level::Info),
    ("warn", Level::Warning),
    ("erro", Level::Error),
    ("crit", Level::Critical),
    ("emer", Level::Critical),
    ("fata", Level::Critical),
    ("aler", Level::Critical),
];
/// A word that is this has that level.
const WORDS: &[(&str, Level)] = &[
    ("dbg", Level::Debug),
    ("trc", Level::Debug),
    ("trace", Level::Debug),
    ("verbose", Level::Debug),
    ("inf", Level::Info),
    ("wrn", Level::Warning),
    ("err", Level::Error),
    ("ftl", Level::Critical),
    ("panic", Level::Critical),
];

impl Level {
    /// All of them, the worst first.
    pub const ALL: [Self; 6] =
        [Self::Critical, Self::Error, Self::Warning, Self::Info, Self::Debug, Self::Unknown];

    /// The word in metrics and in the trace.
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Unknown => "unknown",
        }
    }

    /// The level of a word of [`Level::word`]; anything else is unknown.
    pub fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|level| level.word() == word).unwrap_or(Self::Unknown)
    }

    /// Whether messages of this level are told apart by pattern.
    pub fn has_patterns(self) -> bool {
        matches!(self, Self::Critical | Self::Error | Self::Warning)
    }

    /// The level of a priority of syslog and the journal.
    pub fn of_priority(priority: u8) -> Self {
        match priority {
            0..=2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warning,
            5 | 6 => Self::Info,
            7 => Self::Debug,
            _ => Self::Unknown,
        }
    }

    /// The level that a logging library calls so; also what is behind it counts: `ERROR+2`.
    pub fn of_name(name: &str) -> Option<Self> {
        let starts =
            |word: &str| name.get(..word.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(word));
        let is = |word: &str| {
            starts(word)
                && !name.get(word.len()..).unwrap_or_default().starts_with(|next: char| next.is_alphabetic())
        };
        let exact = WORDS.iter().find(|(word, _)| is(word));
        exact.or_else(|| BEGINNINGS.iter().find(|(word, _)| starts(word))).map(|(_, level)| *level)
    }

    /// The level that bunyan and pino write as a number.
    pub fn of_number(number: f64) -> Self {
        match number {
            number if !(1.0..=100.0).contains(&number) => Self::Unknown,
            number if number < 30.0 => Self::Debug,
            number if number < 40.0 => Self::Info,
            number if number < 50.0 => Self::Warning,
            number if number < 60.0 => Self::Error,
            _ => Self::Critical,
        }
    }

    /// The level that a message seems to have.
    pub fn guess(message: &str) -> Self {
        let line = message.lines().next().unwrap_or_default();
        if let Some(level) = glog(line) {
            return level;
        }
        for word in line.split_ascii_whitespace().take(GUESS_WORDS) {
            if word.len() > GUESS_WORD_BYTES {
                continue;
            }
            // `ERROR[0003]`, `level=error`, `[main]WARN`, `app.INFO:` and so on.
            for part in word.split(|next: char| !next.is_alphanumeric()) {
                let letters = part.trim_end_matches(|next: char| next.is_ascii_digit());
                if letters.len() >= 3
                    && let Some(level) = Self::of_name(letters)
                {
                    return level;
                }
            }
        }
        redis(line).unwrap_or(Self::Unknown)
    }
}

/// `E0102 12:00:00.000000 1 file.go:12] text`
fn glog(line: &str) -> Option<Level> {
    let level = match line.as_bytes().first()? {
        b'I' => Level::Info,
        b'W' => Level::Warning,
        b'E' => Level::Error,
        b'F' => Level::Critical,
        _ => return None,
    };
    let date = line.as_bytes().get(1..5)?;
    let ends = line.as_bytes().get(5).is_none_or(|next| !next.is_ascii_alphanumeric());
    (date.iter().all(u8::is_ascii_digit) && ends).then_some(level)
}

/// `12:M 01 Jan 2026 12:00:00.000 # text`
fn redis(line: &str) -> Option<Level> {
    let mut words = line.split_ascii_whitespace();
    let (pid, role) = words.next()?.split_once(':')?;
    let is_redis = !pid.is_empty()
        && pid.bytes().all(|digit| digit.is_ascii_digit())
        && matches!(role, "M" | "S" | "C" | "X");
    if !is_redis {
        return None;
    }
    match words.nth(4)? {
        "." => Some(Level::Debug),
        "-" | "*" => Some(Level::Info),
        "#" => Some(Level::Warning),
        _ => None,
    }
}
