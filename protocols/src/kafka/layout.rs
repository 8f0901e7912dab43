//! The layout of a message's body as data, and the one walk over it that finds topics, groups and error codes.

/// A part of a message, in the versions that have it.
#[derive(Debug)]
pub(super) struct Field {
    kind: Kind,
    since: i16,
    until: i16,
}

#[derive(Debug)]
enum Kind {
    Fixed(u8),
    Text(Option<Mark>),
    Bytes,
    TopicId,
    Error,
    Acks,
    /// Elements with tagged fields of their own.
    Structs(&'static [Field]),
    /// Elements without.
    Values(&'static [Field]),
    /// Of the first element what is listed; nothing behind it is wanted.
    First(&'static [Field]),
    Struct(&'static [Field]),
}

#[derive(Debug, Clone, Copy)]
enum Mark {
    Topic,
    Group,
}

/// A text, which may be null.
pub(super) const TEXT: Field = field(Kind::Text(None));
/// The name of a topic.
pub(super) const TOPIC: Field = field(Kind::Text(Some(Mark::Topic)));
/// The name of a consumer group.
pub(super) const GROUP: Field = field(Kind::Text(Some(Mark::Group)));
/// Bytes or records, which may be null.
pub(super) const BYTES: Field = field(Kind::Bytes);
/// The identifier of a topic.
pub(super) const TOPIC_ID: Field = field(Kind::TopicId);
/// An error code.
pub(super) const ERROR: Field = field(Kind::Error);
/// What a producer waits for.
pub(super) const ACKS: Field = field(Kind::Acks);

const fn field(kind: Kind) -> Field {
    Field { kind, since: 0, until: i16::MAX }
}

/// So many bytes that are not looked at.
pub(super) const fn bytes(count: u8) -> Field {
    field(Kind::Fixed(count))
}

/// An array of structures.
pub(super) const fn array(fields: &'static [Field]) -> Field {
    field(Kind::Structs(fields))
}

/// An array of one kind of value.
pub(super) const fn list(fields: &'static [Field]) -> Field {
    field(Kind::Values(fields))
}

/// An array with whose first element the walk ends.
pub(super) const fn first(fields: &'static [Field]) -> Field {
    field(Kind::First(fields))
}

/// A structure.
pub(super) const fn inline(fields: &'static [Field]) -> Field {
    field(Kind::Struct(fields))
}

impl Field {
    /// Not in versions before this one.
    pub(super) const fn since(self, version: i16) -> Self {
        Self { since: version, ..self }
    }

    /// Not in versions after this one.
    pub(super) const fn until(self, version: i16) -> Self {
        Self { until: version, ..self }
    }

    fn is_in(&self, version: i16) -> bool {
        version >= self.since && version <= self.until
    }

    fn has_error(&self) -> bool {
        match &self.kind {
            Kind::Error => true,
            Kind::Structs(of) | Kind::Values(of) | Kind::First(of) | Kind::Struct(of) => {
                of.iter().any(Field::has_error)
            }
            _ => false,
        }
    }

    fn is_topic(&self) -> bool {
        matches!(self.kind, Kind::TopicId | Kind::Text(Some(Mark::Topic)))
    }
}

/// Something that the walk came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'bytes> {
    /// So many topics follow.
    Topics(u64),
    Topic(&'bytes [u8]),
    TopicId([u8; 16]),
    Group(&'bytes [u8]),
    Error(i16),
    Acks(i16),
}

/// Why the walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walked {
    /// At the end of the layout, so many bytes on.
    Whole(usize),
    /// With all that is wanted.
    Enough,
    /// At the end of what is there.
    Short,
    /// There too, but no error code can follow.
    Tail,
    /// At what cannot be.
    Wrong,
}

/// Where the walk is.
#[derive(Debug)]
pub(super) struct Cursor<'bytes> {
    /// What was kept.
    pub(super) bytes: &'bytes [u8],
    pub(super) at: usize,
    /// Bytes that the message has in all.
    pub(super) length: u64,
    pub(super) version: i16,
    pub(super) is_flexible: bool,
}

impl<'bytes> Cursor<'bytes> {
    /// Walks over `fields`, which are the whole body or its beginning, and tells `found` of what it comes by.
    pub(super) fn walk(
        &mut self,
        fields: &[Field],
        is_whole: bool,
        found: &mut dyn FnMut(Found<'bytes>),
    ) -> Walked {
        let walked = if is_whole { self.structure(fields, found) } else { self.fields(fields, found) };
        match walked {
            Ok(()) => Walked::Whole(self.at),
            Err(end) => end,
        }
    }

    fn structure(&mut self, fields: &[Field], found: &mut dyn FnMut(Found<'bytes>)) -> Result<(), Walked> {
        self.fields(fields, found)?;
        if self.is_flexible {
            self.tagged().map_err(|end| if end == Walked::Short { Walked::Tail } else { end })?;
        }
        Ok(())
    }

    fn fields(&mut self, fields: &[Field], found: &mut dyn FnMut(Found<'bytes>)) -> Result<(), Walked> {
        let version = self.version;
        let mut rest = fields.iter().filter(|field| field.is_in(version));
        while let Some(field) = rest.next() {
            self.field(field, found)
                .map_err(|end| match end {
                    Walked::Short if !field.has_error() => Walked::Tail,
                    end => end,
                })
                .map_err(|end| match end {
                    Walked::Tail if rest.any(Field::has_error) => Walked::Short,
                    end => end,
                })?;
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, found: &mut dyn FnMut(Found<'bytes>)) -> Result<(), Walked> {
        match &field.kind {
            Kind::Fixed(count) => self.skip(u64::from(*count))?,
            Kind::Text(mark) => {
                let Some(length) = self.length(2)? else { return Ok(()) };
                match mark {
                    None => self.skip(length)?,
                    Some(Mark::Topic) => found(Found::Topic(self.take(length)?)),
                    Some(Mark::Group) => found(Found::Group(self.take(length)?)),
                }
            }
            Kind::Bytes => {
                let length = self.length(4)?.unwrap_or_default();
                self.skip(length)?;
            }
            Kind::TopicId => found(Found::TopicId(self.array()?)),
            Kind::Error => found(Found::Error(i16::from_be_bytes(self.array()?))),
            Kind::Acks => found(Found::Acks(i16::from_be_bytes(self.array()?))),
            Kind::Structs(of) | Kind::Values(of) | Kind::First(of) => {
                let count = self.length(4)?.unwrap_or_default();
                if of.iter().any(Field::is_topic) {
                    found(Found::Topics(count));
                }
                for element in 1..=count {
                    let before = self.at;
                    let walked = match field.kind {
                        Kind::Structs(_) => self.structure(of, found),
                        _ => self.fields(of, found),
                    };
                    walked.map_err(|end| match end {
                        Walked::Tail if element < count && field.has_error() => Walked::Short,
                        end => end,
                    })?;
                    if let Kind::First(_) = field.kind {
                        return Err(Walked::Enough);
                    }
                    if self.at == before {
                        return Err(Walked::Wrong);
                    }
                }
            }
            Kind::Struct(of) => self.structure(of, found)?,
        }
        Ok(())
    }

    /// Tagged fields are passed over.
    pub(super) fn tagged(&mut self) -> Result<(), Walked> {
        for _ in 0..self.number()? {
            self.number()?;
            let length = self.number()?;
            self.skip(length)?;
        }
        Ok(())
    }

    /// A length or count, which is of `bytes` bytes where it is not compact; none of what is null.
    fn length(&mut self, bytes: u8) -> Result<Option<u64>, Walked> {
        let length = if self.is_flexible {
            self.number()?.checked_sub(1)
        } else {
            let length = match bytes {
                2 => i32::from(i16::from_be_bytes(self.array()?)),
                _ => i32::from_be_bytes(self.array()?),
            };
            match length {
                -1 => None,
                length => Some(u64::try_from(length).map_err(|_| Walked::Wrong)?),
            }
        };
        // Nothing is smaller than a byte.
        if length.is_some_and(|length| length > self.length.saturating_sub(self.at as u64)) {
            return Err(Walked::Wrong);
        }
        Ok(length)
    }

    /// A number of 7 bits a byte, the lowest first.
    fn number(&mut self) -> Result<u64, Walked> {
        let mut number = 0;
        for place in 0..5 {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Walked::Wrong)
    }

    fn skip(&mut self, length: u64) -> Result<(), Walked> {
        self.take(length).map(|_| ())
    }

    pub(super) fn take(&mut self, length: u64) -> Result<&'bytes [u8], Walked> {
        let end = (self.at as u64).saturating_add(length);
        if end > self.length {
            return Err(Walked::Wrong);
        }
        let end = usize::try_from(end).map_err(|_| Walked::Wrong)?;
        let taken = self.bytes.get(self.at..end).ok_or(Walked::Short)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], Walked> {
        let taken = self.take(COUNT as u64)?;
        taken.try_into().map_err(|_| Walked::Wrong)
    }
}
