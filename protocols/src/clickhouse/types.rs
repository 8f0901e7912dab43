//! Types of columns, as far as their length on the wire goes.

use super::wire::Stop;

/// Types within types that are followed.
const MAX_DEPTH: u32 = 16;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// Values of so many bytes.
    Fixed(u64),
    /// Values with their length before them.
    Text,
    /// A byte a value, then the values.
    Nullable(Box<Type>),
    /// Where each ends, then what is in them.
    Array(Box<Type>),
    /// One after the other.
    Tuple(Vec<Type>),
    /// A dictionary, then places in it.
    LowCardinality(Box<Type>),
}

impl Type {
    /// Reads its name. Bad when it is not known.
    pub(super) fn parse(name: &str) -> Result<Self, Stop> {
        parse(name.trim(), MAX_DEPTH)
    }

    /// Bytes that stand before the values of a column, once.
    pub(super) fn prefix_bytes(&self) -> u64 {
        match self {
            Self::Fixed(_) | Self::Text => 0,
            Self::Nullable(inner) | Self::Array(inner) => inner.prefix_bytes(),
            Self::Tuple(inner) => inner.iter().map(Self::prefix_bytes).sum(),
            Self::LowCardinality(_) => 8,
        }
    }

    /// The type of what a dictionary holds.
    pub(super) fn without_null(&self) -> &Self {
        match self {
            Self::Nullable(inner) => inner,
            other => other,
        }
    }
}

fn parse(name: &str, depth: u32) -> Result<Type, Stop> {
    let depth = depth.checked_sub(1).ok_or(Stop::Bad)?;
    let (head, inner) = match name.split_once('(') {
        Some((head, rest)) => (head, rest.strip_suffix(')').ok_or(Stop::Bad)?),
        None => (name, ""),
    };
    let one = || parse(inner.trim(), depth).map(Box::new);
    Ok(match head {
        "UInt8" | "Int8" | "Bool" | "Enum8" | "Nothing" => Type::Fixed(1),
        "UInt16" | "Int16" | "Date" | "Enum16" | "BFloat16" => Type::Fixed(2),
        "UInt32" | "Int32" | "Float32" | "Date32" | "DateTime" | "IPv4" | "Decimal32" | "Time" => {
            Type::Fixed(4)
        }
        "UInt64" | "Int64" | "Float64" | "DateTime64" | "Decimal64" | "Time64" => Type::Fixed(8),
        "UInt128" | "Int128" | "UUID" | "IPv6" | "Decimal128" => Type::Fixed(16),
        "UInt256" | "Int256" | "Decimal256" => Type::Fixed(32),
        "Decimal" => match inner.split(',').next().and_then(|digits| digits.trim().parse().ok()) {
            Some(1..=9_u32) => Type::Fixed(4),
            Some(10..=18) => Type::Fixed(8),
            Some(19..=38) => Type::Fixed(16),
            Some(39..=76) => Type::Fixed(32),
            _ => return Err(Stop::Bad),
        },
        "FixedString" => Type::Fixed(inner.trim().parse::<u32>().map_err(|_| Stop::Bad)?.into()),
        "String" => Type::Text,
        "Nullable" => Type::Nullable(one()?),
        "Array" => Type::Array(one()?),
        "LowCardinality" => Type::LowCardinality(one()?),
        "Tuple" => Type::Tuple(elements(inner, depth)?),
        "Nested" => Type::Array(Box::new(Type::Tuple(elements(inner, depth)?))),
        "Map" => Type::Array(Box::new(Type::Tuple(elements(inner, depth)?))),
        "Point" => point(),
        "Ring" | "LineString" => Type::Array(Box::new(point())),
        "Polygon" | "MultiLineString" => Type::Array(Box::new(Type::Array(Box::new(point())))),
        "SimpleAggregateFunction" => {
            let (_, value) = split(inner).next().zip(split(inner).nth(1)).ok_or(Stop::Bad)?;
            parse(value, depth)?
        }
        _ if head.starts_with("Interval") => Type::Fixed(8),
        _ => return Err(Stop::Bad),
    })
}

fn point() -> Type {
    Type::Tuple(vec![Type::Fixed(8), Type::Fixed(8)])
}

fn elements(inner: &str, depth: u32) -> Result<Vec<Type>, Stop> {
    split(inner).map(|element| parse(element, depth).or_else(|_| parse(named(element), depth))).collect()
}

/// What follows the name of an element.
fn named(element: &str) -> &str {
    match element.strip_prefix('`') {
        Some(quoted) => quoted.split_once('`').map_or("", |(_, rest)| rest).trim(),
        None => element.split_once(' ').map_or("", |(_, rest)| rest).trim(),
    }
}

/// Parts between commas that are in no bracket or quotes.
fn split(inner: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    let mut quote = None;
    inner
        .split(move |character| {
            match (quote, character) {
                (Some(open), close) if open == close => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '`') => quote = Some(character),
                (None, '(') => depth += 1,
                (None, ')') => depth = depth.saturating_sub(1),
                (None, ',') => return depth == 0,
                _ => {}
            }
            false
        })
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_with_what_is_in_them() {
        let text = || Box::new(Type::Text);
        assert_eq!(Type::parse("LowCardinality(Nullable(String))"), {
            Ok(Type::LowCardinality(Box::new(Type::Nullable(text()))))
        });
        let map = Type::Array(Box::new(Type::Tuple(vec![Type::Text, Type::Array(text())])));
        assert_eq!(Type::parse("Map(String, Array(String))"), Ok(map));
        assert_eq!(Type::parse("DateTime64(3, 'Europe/Berlin')"), Ok(Type::Fixed(8)));
        assert_eq!(Type::parse("Enum8('a,(' = 1, 'b' = 2)"), Ok(Type::Fixed(1)));
        let tuple = Type::Tuple(vec![Type::Fixed(1), Type::Text]);
        assert_eq!(Type::parse("Tuple(a UInt8, `b c` String)"), Ok(tuple));
        assert_eq!(Type::parse("SimpleAggregateFunction(sum, Decimal(38, 4))"), Ok(Type::Fixed(16)));
        assert_eq!(Type::parse("AggregateFunction(uniq, String)"), Err(Stop::Bad));
        assert_eq!(Type::parse(&"Array(".repeat(100)), Err(Stop::Bad));
    }
}
