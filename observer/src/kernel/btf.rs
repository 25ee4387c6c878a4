//! Offsets of struct fields in the running kernel, from its BTF.
//!
//! Format: Documentation/bpf/btf.rst, include/uapi/linux/btf.h. Only what offsets need is parsed.

use std::collections::BTreeMap;

use super::error::KernelError;

/// The kernel's BTF.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
/// Maximum nesting of members: enough for every struct, and a bound for a damaged file.
const DEEPEST: u32 = 16;

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// The type information.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Position of each type, by its number less one.
    types: Vec<usize>,
    /// Type numbers of structs, by name.
    structs: BTreeMap<String, u32>,
}

impl Btf {
    /// That of the running kernel.
    ///
    /// # Errors
    /// The kernel was built without BTF, or it cannot be parsed.
    pub fn running() -> Result<Self, KernelError> {
        let unusable = |cause: String| {
            KernelError::new("read", VMLINUX, cause, "use a kernel with CONFIG_DEBUG_INFO_BTF")
        };
        let data = std::fs::read(VMLINUX).map_err(|error| unusable(error.to_string()))?;
        Self::parse(data).ok_or_else(|| unusable("it is not in a known BTF format".to_owned()))
    }

    /// Parses type information; `None` if it is damaged or of a newer format.
    #[must_use]
    pub fn parse(data: Vec<u8>) -> Option<Self> {
        if u16::from_ne_bytes(data.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let header = |at| word(&data, at).map(|word| word as usize);
        let body = header(4)?;
        let (types_at, types_length, strings_at) = (header(8)?, header(12)?, header(16)?);
        let mut at = body.checked_add(types_at)?;
        let end = at.checked_add(types_length)?;
        let mut btf = Self {
            strings: body.checked_add(strings_at)?,
            types: Vec::new(),
            structs: BTreeMap::new(),
            data,
        };
        while at < end {
            btf.types.push(at);
            let number = u32::try_from(btf.types.len()).ok()?;
            let kind = btf.kind(at)?;
            if kind == KIND_STRUCT
                && let Some(name) = btf.name(word(&btf.data, at)?).filter(|name| !name.is_empty())
            {
                let name = name.to_owned();
                btf.structs.entry(name).or_insert(number);
            }
            at += 12 + extra(kind, btf.members(at)?);
        }
        Some(btf)
    }

    /// Offset of a field in a struct, in bytes. The field may be nested (`__sk_common.skc_daddr`), also in anonymous
    /// structs and unions.
    #[must_use]
    pub fn offset(&self, of: &str, path: &str) -> Option<u32> {
        let bits = self.bits(of, path)?;
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// The same in bits; for a bit field, the position of its lowest bit on a little-endian machine.
    #[must_use]
    pub fn bits(&self, of: &str, path: &str) -> Option<u32> {
        let mut number = *self.structs.get(of)?;
        let mut sum = 0;
        for name in path.split('.') {
            let (offset, next) = self.member(number, name, DEEPEST)?;
            sum += offset;
            number = next;
        }
        Some(sum)
    }

    /// The offset of a required field; `remedy` is what to do without it.
    pub(super) fn field(&self, structure: &str, field: &str, remedy: &str) -> Result<u32, KernelError> {
        self.offset(structure, field).ok_or_else(|| no_field(structure, field, remedy))
    }

    /// As [`Self::field`], in bits.
    pub(super) fn field_bits(&self, structure: &str, field: &str, remedy: &str) -> Result<u32, KernelError> {
        self.bits(structure, field).ok_or_else(|| no_field(structure, field, remedy))
    }

    /// The names and numbers of an enum; `None` if there is no such enum.
    #[must_use]
    pub fn enumeration(&self, of: &str) -> Option<Vec<(String, u32)>> {
        let named = |at: &&usize| {
            self.kind(**at) == Some(KIND_ENUM)
                && word(&self.data, **at).and_then(|name| self.name(name)) == Some(of)
        };
        let at = *self.types.iter().find(named)?;
        let names = (0..self.members(at)?).map(|index| {
            let member = at + 12 + index * 8;
            Some((self.name(word(&self.data, member)?)?.to_owned(), word(&self.data, member + 4)?))
        });
        names.collect()
    }

    /// Offset of a member in bits, and its type.
    fn member(&self, number: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        let at = self.aggregate(number)?;
        let bitfields = word(&self.data, at + 4)? >> 31 == 1;
        for index in 0..self.members(at)? {
            let member = at + 12 + index * 12;
            let own = self.name(word(&self.data, member)?)?;
            let kind = word(&self.data, member + 4)?;
            let offset = word(&self.data, member + 8)?;
            let offset = if bitfields { offset & 0x00ff_ffff } else { offset };
            if own == name {
                return Some((offset, kind));
            }
            if own.is_empty()
                && depth > 0
                && let Some((inner, found)) = self.member(kind, name, depth - 1)
            {
                return Some((offset + inner, found));
            }
        }
        None
    }

    /// Position of a struct or union, through typedefs and qualifiers.
    fn aggregate(&self, mut number: u32) -> Option<usize> {
        for _ in 0..DEEPEST {
            let at = *self.types.get(number.checked_sub(1)? as usize)?;
            match self.kind(at)? {
                KIND_STRUCT | KIND_UNION => return Some(at),
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_TYPE_TAG => {
                    number = word(&self.data, at + 8)?
                }
                _ => return None,
            }
        }
        None
    }

    fn kind(&self, at: usize) -> Option<u32> {
        Some(word(&self.data, at + 4)? >> 24 & 0x1f)
    }

    fn members(&self, at: usize) -> Option<usize> {
        Some((word(&self.data, at + 4)? & 0xffff) as usize)
    }

    fn name(&self, offset: u32) -> Option<&str> {
        let rest = self.data.get(self.strings.checked_add(offset as usize)?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

fn no_field(structure: &str, field: &str, remedy: &str) -> KernelError {
    KernelError::new("find", format!("the field {structure}.{field}"), "this kernel's BTF lacks it", remedy)
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Bytes after a type's first three words.
const fn extra(kind: u32, members: usize) -> usize {
    match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => members * 12,
        KIND_ENUM | KIND_FUNC_PROTO => members * 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct `outer` of a word and an anonymous union of a struct `inner`, with second word `deep`.
    fn example() -> Vec<u8> {
        let strings = b"\0outer\0first\0inner\0deep\0int\0named\0why\0PTB\0";
        let at = |name: &str| {
            let mut found = strings.split(|byte| *byte == 0).scan(0_u32, |at, part| {
                let here = *at;
                *at += part.len() as u32 + 1;
                Some((here, part))
            });
            found.find(|(_, part)| *part == name.as_bytes()).expect(name).0
        };
        let mut types: Vec<u32> = vec![at("int"), KIND_INT << 24, 4, 32];
        types.extend([at("inner"), KIND_STRUCT << 24 | 2, 8, at("first"), 1, 0, at("deep"), 1, 32]);
        types.extend([0, KIND_UNION << 24 | 1, 8, at("named"), 2, 0]);
        types.extend([at("outer"), KIND_STRUCT << 24 | 2, 12, at("first"), 1, 0, 0, 3, 32]);
        types.extend([at("why"), KIND_ENUM << 24 | 2, 4, at("first"), 0, at("PTB"), 93]);
        let length = types.len() as u32 * 4;
        let mut data = Vec::from(MAGIC.to_ne_bytes());
        data.extend([1, 0]);
        for word in [24, 0, length, length, strings.len() as u32].iter().chain(&types) {
            data.extend(word.to_ne_bytes());
        }
        data.extend(strings);
        data
    }

    #[test]
    fn fields_are_found_through_anonymous_unions() {
        let btf = Btf::parse(example()).expect("a valid example");
        assert_eq!(btf.offset("outer", "first"), Some(0));
        assert_eq!(btf.offset("outer", "named"), Some(4));
        assert_eq!(btf.offset("outer", "named.deep"), Some(8));
        assert_eq!(btf.offset("inner", "deep"), Some(4));
        assert_eq!(btf.offset("outer", "deep"), None);
        assert_eq!(btf.offset("nobody", "deep"), None);
        assert_eq!(btf.enumeration("why"), Some(vec![("first".to_owned(), 0), ("PTB".to_owned(), 93)]));
        assert_eq!(btf.enumeration("outer"), None);
    }

    #[test]
    fn damaged_btf_is_refused_or_yields_nothing() {
        let whole = example();
        for length in 0..whole.len() {
            let Some(btf) = Btf::parse(whole[..length].to_vec()) else { continue };
            // Nothing is read beyond the end, and what is found is right.
            assert!([None, Some(8)].contains(&btf.offset("outer", "named.deep")), "{length} bytes");
            let values = btf.enumeration("why").unwrap_or_default();
            assert!(values.iter().all(|(_, value)| [0, 93].contains(value)), "{length} bytes: {values:?}");
        }
        assert!(Btf::parse(Vec::new()).is_none());
    }

    #[test]
    fn the_running_kernel_has_the_fields_in_use() {
        let Ok(btf) = Btf::running() else { return };
        for (of, field) in [("sk_buff", "dev"), ("net", "ns.inum"), ("sock", "__sk_common.skc_daddr")] {
            assert!(btf.offset(of, field).is_some(), "{of}.{field}");
        }
    }
}
