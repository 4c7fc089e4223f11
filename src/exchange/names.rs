//! From their names of tensors to ours.
//!
//! Ours are PyTorch's, so mostly a wrapper's prefix is all that differs. What differs more is told
//! by a mapping:
//!
//! ```toml
//! [names]
//! "backbone.stem.*" = "conv1.*"      # one `*` on both sides, or on none
//!
//! [ignore]
//! names = ["teacher.*", "step"]
//! ```

use std::cell::Cell;
use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::error::ExchangeFault;

/// What wraps a network and its names: data parallelism, compilation, a holder called `model`.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];
/// A counter of PyTorch's batch normalisation, which only matters where its momentum is `None`.
const COUNTER: &str = "num_batches_tracked";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedNames {
    #[serde(default)]
    names: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    ignore: UncheckedIgnore,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedIgnore {
    #[serde(default)]
    names: Vec<Spanned<String>>,
}

/// A name, or all names between what stands before and behind its `*`.
#[derive(Clone, Debug)]
struct Pattern {
    before: String,
    behind: Option<String>,
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let (before, behind) = match text.split_once('*') {
            Some((before, behind)) => (before, Some(behind.to_owned())),
            None => (text, None),
        };
        let twice = behind.as_ref().is_some_and(|behind| behind.contains('*'));
        (!twice && !text.is_empty()).then(|| Self { before: before.to_owned(), behind })
    }

    /// What the `*` stands for in `name`, nothing where there is none; `None` if it is another name.
    fn star<'a>(&self, name: &'a str) -> Option<&'a str> {
        let rest = name.strip_prefix(self.before.as_str())?;
        match &self.behind {
            Some(behind) => rest.strip_suffix(behind.as_str()),
            None => rest.is_empty().then_some(rest),
        }
    }

    fn with(&self, star: &str) -> String {
        match &self.behind {
            Some(behind) => format!("{}{star}{behind}", self.before),
            None => self.before.clone(),
        }
    }

    /// Exact before wild, long before short.
    fn weight(&self) -> (bool, usize) {
        (self.behind.is_none(), self.before.len() + self.behind.as_ref().map_or(0, String::len))
    }
}

/// One line of a mapping: whose name, and ours, or none where it is to be left out.
#[derive(Clone, Debug)]
struct Rule {
    theirs: Pattern,
    ours: Option<Pattern>,
    line: usize,
    used: Cell<bool>,
}

/// A mapping of names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    rules: Vec<Rule>,
}

impl Names {
    /// Reads a mapping.
    ///
    /// # Errors
    /// If it is no TOML, has a key that no mapping has, or a pattern with more than one `*`.
    pub fn parse(text: &str) -> Result<Self, ExchangeFault> {
        let line = |at: usize| 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
        let unchecked: UncheckedNames = toml::from_str(text).map_err(|error| {
            let line = line(error.span().map_or(0, |span| span.start));
            ExchangeFault::Names { line, what: error.message().trim().replace('\n', "; ") }
        })?;
        let pattern = |text: &Spanned<String>| {
            Pattern::parse(text.get_ref()).ok_or_else(|| ExchangeFault::Names {
                line: line(text.span().start),
                what: format!("`{}` must be a name with at most one `*`", text.get_ref()),
            })
        };
        let mut rules = Vec::new();
        for (left, right) in &unchecked.names {
            let (theirs, ours, line) = (pattern(left)?, pattern(right)?, line(left.span().start));
            if theirs.behind.is_some() != ours.behind.is_some() {
                let what = "a `*` must stand on both sides, or on none".to_owned();
                return Err(ExchangeFault::Names { line, what });
            }
            rules.push(Rule { theirs, ours: Some(ours), line, used: Cell::new(false) });
        }
        for name in &unchecked.ignore.names {
            let (theirs, line) = (pattern(name)?, line(name.span().start));
            rules.push(Rule { theirs, ours: None, line, used: Cell::new(false) });
        }
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.theirs.weight()));
        Ok(Self { rules })
    }

    /// Our name for `raw`; `None` if it is to be left out. A rule is held against the name as it
    /// stands in the file, then against the name without wrappers.
    pub(super) fn ours(&self, raw: &str) -> Option<String> {
        let bare = unwrapped(raw);
        let of = |name: &str| {
            let (rule, star) =
                self.rules.iter().find_map(|rule| Some((rule, rule.theirs.star(name)?)))?;
            rule.used.set(true);
            Some(rule.ours.as_ref().map(|ours| ours.with(star)))
        };
        if let Some(told) = of(raw).or_else(|| of(bare)) {
            return told;
        }
        (bare.rsplit('.').next() != Some(COUNTER)).then(|| bare.to_owned())
    }

    /// Refuses a rule that no tensor met: most likely it is misspelt.
    pub(super) fn all_used(&self) -> Result<(), ExchangeFault> {
        match self.rules.iter().filter(|rule| !rule.used.get()).min_by_key(|rule| rule.line) {
            Some(rule) => Err(ExchangeFault::Names {
                line: rule.line,
                what: format!("no tensor is called `{}`", rule.theirs.with("*")),
            }),
            None => Ok(()),
        }
    }
}

/// `name` without what wraps it.
fn unwrapped(mut name: &str) -> &str {
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = rest;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_go_and_counters_are_left_out() {
        let names = Names::default();
        let ours = |raw| names.ours(raw);
        assert_eq!(ours("module.model.conv1.weight").as_deref(), Some("conv1.weight"));
        assert_eq!(ours("_orig_mod.fc.bias").as_deref(), Some("fc.bias"));
        assert_eq!(ours("bn1.num_batches_tracked"), None);
        assert_eq!(ours("remodel.weight").as_deref(), Some("remodel.weight"));
    }

    #[test]
    fn a_mapping_takes_the_longest_pattern_and_tells_the_line_of_what_it_cannot_use() {
        let text =
            "[names]\n\"a.*\" = \"b.*\"\n\"a.c.*.w\" = \"d.*\"\n\n[ignore]\nnames = [\"a.x\"]\n";
        let names = Names::parse(text).unwrap();
        assert_eq!(names.ours("a.q").as_deref(), Some("b.q"));
        assert_eq!(names.ours("module.a.c.7.w").as_deref(), Some("d.7"));
        assert!(names.all_used().unwrap_err().to_string().contains("line 6"));
        assert_eq!(names.ours("a.x"), None);
        names.all_used().unwrap();

        for (text, line) in [
            ("[names]\n\"a.*\" = \"b\"\n", 2),
            ("[names]\n\n\"a.*.*\" = \"b.*.*\"\n", 3),
            ("[name]\n\"a\" = \"b\"\n", 1),
            ("[ignore]\nname = [\"a\"]\n", 2),
            ("[names]\n\"a\" = 3\n", 2),
        ] {
            let told = Names::parse(text).unwrap_err().to_string();
            assert!(told.contains(&format!("line {line}:")), "{text:?}: {told}");
        }
    }
}
