//! The numbers of groups, over the life of a cluster.

use super::*;

fn named(id: u32, name: &str) -> Box<NewGroup> {
    let group = GroupConfig { name: name.into(), ..group(id, &[]) };
    Box::new(NewGroup { group, luns: Vec::new(), rules: Vec::new(), only_if: None })
}

#[test]
fn the_number_of_a_group_that_was_taken_out_is_given_to_no_other_and_back_to_it() {
    let mut story = Story::begin(parts());
    assert_eq!(story.database.groups_passed(), OTHER);
    story.apply(Change::AddGroup(named(7, "vm7")));
    story.apply(Change::RemoveGroup { group: GroupId(7) });
    assert_eq!(story.database.groups_passed(), GroupId(7), "it is never less");
    for taken in [3, 7] {
        let refused = story.database.with_group(&named(taken, "new")).expect_err("it was taken");
        assert_eq!(refused.place, "groups.new.id");
        assert!(refused.remedy.contains("after 7"), "{refused}");
        story.apply(Change::AddGroup(named(taken, "new")));
        assert!(story.database.group(GroupId(taken)).is_none());
    }
    story.apply(Change::AddGroup(named(8, "new")));
    story.apply(Change::AddGroup(named(7, "vm7")));
    assert!([7, 8].iter().all(|&id| story.database.group(GroupId(id)).is_some()));
    // The same where a whole configuration comes in place of another.
    story.configure(|parts| parts.groups.truncate(2));
    let mut parts = story.database.config().parts().clone();
    parts.groups.push(GroupConfig { name: "later".into(), ..group(7, &[]) });
    let new = NewConfig { parts, only_if: None, reason: String::new(), unix_ms: 0 };
    assert!(story.database.successor(&new).is_err());
    assert_eq!(story.database.groups_passed(), GroupId(8));
}

#[test]
fn what_the_cluster_was_founded_with_is_known_however_often_it_is_configured() {
    let founded = parts();
    let mut story = Story::begin(founded.clone());
    let config = ClusterConfig::new(founded).expect("it is valid");
    assert!(!story.database.was_in_force(&config), "it is in force");
    for most in 1..100 {
        story.configure(|parts| parts.groups[0].failover_threshold = most);
        assert!(story.database.was_in_force(&config));
    }
    assert_eq!(story.database.versions().len(), crate::database::VERSIONS_MAX);
    let never = story.database.config().with_group(&named(9, "never")).expect("it is valid");
    assert!(!story.database.was_in_force(&never));
}
