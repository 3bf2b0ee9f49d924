//! What a fence agent says of itself: its options and its actions, as XML.

use std::collections::BTreeMap;

/// What is read of it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Metadata {
    /// Its options, and whether each is required.
    pub(super) options: BTreeMap<String, bool>,
    /// What it can do.
    pub(super) actions: Vec<String>,
}

impl Metadata {
    /// Reads it. What an agent prints around it, as warnings of its libraries, is passed over.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let begins = text.find("<?xml").or_else(|| text.find("<resource-agent"));
        let begins = begins.ok_or("it prints no metadata")?;
        let ends = text.rfind("</resource-agent>").map(|at| at + "</resource-agent>".len());
        let xml = ends.and_then(|ends| text.get(begins..ends)).ok_or("its metadata has no end")?;
        let xml = roxmltree::Document::parse(xml).map_err(|error| error.to_string())?;
        let named = |tag: &'static str| {
            xml.descendants().filter(move |node| node.has_tag_name(tag)).filter_map(|node| {
                let name = node.attribute("name")?.to_owned();
                Some((name, node.attribute("required") == Some("1")))
            })
        };
        Ok(Self {
            options: named("parameter").collect(),
            actions: named("action").map(|(name, _)| name).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn options_and_actions_are_found_amid_warnings() {
        let text = "a warning\n<?xml version=\"1.0\" ?>\n<resource-agent name=\"fence_x\"><parameters>\
            <parameter name=\"ip\" unique=\"0\" required=\"1\"><getopt mixed=\"-a\" /></parameter>\
            <parameter name=\"delay\" unique=\"0\" required=\"0\"/></parameters><actions>\
            <action name=\"off\" /><action name=\"reboot\" /></actions></resource-agent>\nanother";
        let found = Metadata::parse(text).unwrap();
        assert_eq!(found.options, [("ip".to_owned(), true), ("delay".to_owned(), false)].into());
        assert_eq!(found.actions, ["off", "reboot"]);
    }

    proptest! {
        #[test]
        fn whatever_is_printed_is_read_or_refused(text in "(<\\?xml)?[<>a-z/\"= \\n-]{0,60}(</resource-agent>)?") {
            let _ = Metadata::parse(&text);
        }
    }
}
