//! Section 4.2: how long an answer is fresh.

use crate::table::{Case, asks, either, hit, ok, run};

/// The origin is asked the first time only.
const FRESH: &[(&str, &str)] = &[
    ("s4_2_1_max_age", "Cache-Control: max-age=60"),
    ("s4_2_1_s_maxage", "Cache-Control: s-maxage=60"),
    ("s4_2_1_expires", "Expires: {+60}"),
    ("s4_2_1_s_maxage_wins_over_max_age", "Cache-Control: max-age=0, s-maxage=60"),
    ("s4_2_1_s_maxage_before_max_age", "Cache-Control: s-maxage=60, max-age=0"),
    ("s4_2_1_s_maxage_wins_over_expires", "Cache-Control: s-maxage=60\nExpires: {-60}"),
    ("s4_2_1_s_maxage_in_another_field_wins", "Cache-Control: max-age=0\nCache-Control: s-maxage=60"),
    ("s4_2_1_max_age_wins_over_expires", "Cache-Control: max-age=60\nExpires: {-60}"),
    ("s4_2_1_max_age_wins_over_bad_expires", "Cache-Control: max-age=60\nExpires: 0"),
    ("s5_3_expires_in_the_form_of_rfc_850", "Expires: {850:+3600}"),
    ("s5_3_expires_in_the_form_of_asctime", "Expires: {asctime:+3600}"),
    ("s5_3_date_in_the_form_of_asctime", "Expires: {+3600}\nDate: {asctime:-100}"),
    ("s5_3_date_in_the_form_of_rfc_850", "Expires: {+3600}\nDate: {850:-100}"),
    ("s5_3_expires_counts_from_date", "Date: {-100}\nExpires: {+100}"),
    ("s5_3_expires_far_away", "Expires: Fri, 31 Dec 9999 23:59:59 GMT"),
    ("s5_3_expires_with_other_directives", "Cache-Control: public\nExpires: {+60}"),
    ("s5_2_names_have_no_case", "Cache-Control: MAX-AGE=60"),
    ("s5_2_names_have_no_case_either", "cAcHe-cOnTrOl: S-MaxAge=60"),
    ("s5_2_unknown_directives_before", "Cache-Control: foo, bar=baz, max-age=60"),
    ("s5_2_unknown_directives_after", "Cache-Control: max-age=60, foo, bar=baz"),
    ("s5_2_names_that_only_end_alike", "Cache-Control: x-no-store, max-age=60"),
    ("s5_2_names_that_only_begin_alike", "Cache-Control: no-stores, privately, no-cached, max-age=60"),
    ("s5_2_names_that_only_look_alike", "Cache-Control: no_store, xprivate, max-age=60"),
    ("s5_2_quoted_directives_are_not_read", "Cache-Control: ext=\"max-age=0, no-store\", max-age=60"),
    ("s5_2_quoted_private_is_not_read", "Cache-Control: max-age=60, ext=\"a, private, b\""),
    ("s5_2_a_quote_in_quotes", "Cache-Control: ext=\"a\\\", no-store, \\\"b\", max-age=60"),
    ("s5_2_a_backslash_in_quotes", "Cache-Control: ext=\"a\\\\\", max-age=60"),
    ("s5_2_an_equals_sign_in_quotes", "Cache-Control: ext=\"max-age=0\", max-age=60"),
    ("s5_2_an_extension_of_a_known_name", "Cache-Control: ext=no-store, max-age=60"),
    ("s5_2_empty_elements", "Cache-Control: ,, max-age=60, ,"),
    ("s5_2_an_empty_field_before", "Cache-Control:\nCache-Control: max-age=60"),
    ("s5_2_several_fields", "Cache-Control: foo\nCache-Control: max-age=60\nCache-Control: bar"),
    ("s5_2_tabs_between", "Cache-Control: foo\t,\tmax-age=60\t,\tbar"),
    ("s5_2_quoted_max_age_is_read", "Cache-Control: max-age=\"60\""),
    ("s5_2_quoted_s_maxage_is_read", "Cache-Control: s-maxage=\"60\", max-age=0"),
    ("s1_2_2_leading_zeros", "Cache-Control: max-age=00060"),
    ("s1_2_2_two_to_the_31st", "Cache-Control: max-age=2147483648"),
    ("s1_2_2_more_than_32_bits", "Cache-Control: max-age=4294967296"),
    ("s1_2_2_more_than_64_bits", "Cache-Control: max-age=18446744073709551616"),
    ("s1_2_2_more_than_128_bits", "Cache-Control: max-age=999999999999999999999999999999999999999999"),
    ("s1_2_2_s_maxage_of_more_than_64_bits", "Cache-Control: s-maxage=18446744073709551617, max-age=0"),
    ("s1_2_2_much_and_old", "Cache-Control: max-age=18446744073709551616\nAge: 1000000"),
    ("s4_2_3_age_below_max_age", "Cache-Control: max-age=60\nAge: 30"),
    ("s4_2_3_date_in_the_past", "Cache-Control: max-age=60\nDate: {-30}"),
    ("s4_2_2_a_tenth_since_it_was_modified", "Last-Modified: {-100000}"),
    ("s4_2_2_a_tenth_counts_age", "Last-Modified: {-10000}\nAge: 900"),
    ("s4_2_2_almost_a_day", "Last-Modified: {-315360000}\nAge: 80000"),
    ("s4_2_2_counts_from_date", "Last-Modified: {-100000}\nDate: {-5000}"),
    ("s4_2_2_with_an_etag", "Last-Modified: {-100000}\nETag: \"a\""),
    ("s4_2_2_with_public", "Last-Modified: {-100000}\nCache-Control: public"),
    ("s4_2_2_with_unknown_directives", "Last-Modified: {-100000}\nCache-Control: foo"),
    ("s4_2_2_last_modified_in_the_form_of_asctime", "Last-Modified: {asctime:-100000}"),
    ("s4_2_2_last_modified_in_the_form_of_rfc_850", "Last-Modified: {850:-100000}"),
    ("s5_2_2_1_must_revalidate_while_fresh", "Cache-Control: max-age=60, must-revalidate"),
    ("s5_2_2_8_proxy_revalidate_while_fresh", "Cache-Control: max-age=60, proxy-revalidate"),
    ("s5_2_2_6_no_transform", "Cache-Control: max-age=60, no-transform"),
    ("s5_2_2_9_public", "Cache-Control: public, max-age=60"),
    ("rfc8246_immutable", "Cache-Control: max-age=60, immutable"),
    ("s5_4_pragma_of_an_answer_means_nothing", "Cache-Control: max-age=60\nPragma: no-cache"),
    ("s5_5_a_warning_means_nothing", "Cache-Control: max-age=60\nWarning: 110 - \"Response is stale\""),
];

/// The origin is asked each time.
const STALE: &[(&str, &str)] = &[
    ("s4_2_1_max_age_of_nothing", "Cache-Control: max-age=0"),
    ("s4_2_1_s_maxage_of_nothing", "Cache-Control: s-maxage=0"),
    ("s4_2_1_s_maxage_of_nothing_wins_over_max_age", "Cache-Control: max-age=60, s-maxage=0"),
    ("s4_2_1_s_maxage_of_nothing_wins_over_expires", "Cache-Control: s-maxage=0\nExpires: {+60}"),
    ("s4_2_1_max_age_of_nothing_wins_over_expires", "Cache-Control: max-age=0\nExpires: {+60}"),
    ("s5_3_expires_in_the_past", "Expires: {-60}"),
    ("s5_3_expires_at_date", "Date: {0}\nExpires: {0}"),
    ("s5_3_expires_before_date", "Date: {+3600}\nExpires: {+1800}"),
    ("s5_3_expires_is_a_time_since_date", "Date: {-3600}\nExpires: {-1800}"),
    ("s5_3_expires_of_0", "Expires: 0"),
    ("s5_3_expires_of_minus_1", "Expires: -1"),
    ("s5_3_expires_of_a_number", "Expires: 3600"),
    ("s5_3_expires_of_words", "Expires: tomorrow"),
    ("s5_3_expires_of_nothing", "Expires:"),
    ("s5_3_expires_without_a_time", "Expires: Thu, 18 Aug 2050"),
    ("s5_3_expires_on_a_day_that_is_none", "Expires: Thu, 31 Feb 2050 02:01:18 GMT"),
    ("s5_3_expires_at_an_hour_that_is_none", "Expires: Thu, 18 Aug 2050 25:01:18 GMT"),
    ("s5_3_expires_in_the_past_in_the_form_of_rfc_850", "Expires: {850:-3600}"),
    ("s5_3_expires_in_the_past_in_the_form_of_asctime", "Expires: {asctime:-3600}"),
    ("s5_3_expires_quoted", "Expires: \"{+60}\""),
    ("s5_2_a_quoted_max_age_of_an_extension", "Cache-Control: ext=\"a, max-age=60\""),
    ("s5_2_a_name_that_only_ends_in_max_age", "Cache-Control: xmax-age=60"),
    ("s5_2_a_name_that_only_begins_with_max_age", "Cache-Control: max-ages=60"),
    ("s5_2_max_age_with_an_underscore", "Cache-Control: max_age=60"),
    ("s4_2_1_a_negative_max_age", "Cache-Control: max-age=-60"),
    ("s4_2_1_max_age_of_letters", "Cache-Control: max-age=abc"),
    ("s4_2_1_max_age_without_a_value", "Cache-Control: max-age"),
    ("s4_2_1_max_age_of_nothing_at_all", "Cache-Control: max-age="),
    ("s4_2_1_max_age_with_a_fraction", "Cache-Control: max-age=60.5"),
    ("s4_2_1_max_age_with_an_exponent", "Cache-Control: max-age=1e3"),
    ("s4_2_1_max_age_in_hexadecimal", "Cache-Control: max-age=0x60"),
    ("s4_2_1_a_quoted_max_age_of_letters", "Cache-Control: max-age=\"abc\""),
    ("s4_2_1_a_negative_s_maxage", "Cache-Control: s-maxage=-60"),
    ("s4_2_1_the_smaller_max_age_comes_first", "Cache-Control: max-age=0, max-age=60"),
    ("s4_2_1_the_smaller_max_age_comes_in_the_first_field", "Cache-Control: max-age=0\nCache-Control: max-age=60"),
    ("s4_2_3_age_above_max_age", "Cache-Control: max-age=60\nAge: 70"),
    ("s4_2_3_age_of_max_age", "Cache-Control: max-age=60\nAge: 60"),
    ("s4_2_3_date_before_max_age", "Cache-Control: max-age=60\nDate: {-70}"),
    ("s4_2_3_age_counts_for_expires", "Expires: {+60}\nAge: 70"),
    ("s4_2_2_not_with_max_age", "Last-Modified: {-100000}\nCache-Control: max-age=0"),
    ("s4_2_2_not_with_s_maxage", "Last-Modified: {-100000}\nCache-Control: s-maxage=0"),
    ("s4_2_2_not_with_expires", "Last-Modified: {-100000}\nExpires: {-60}"),
    ("s4_2_2_not_with_a_bad_expires", "Last-Modified: {-100000}\nExpires: 0"),
    ("s4_2_2_not_with_a_bad_max_age", "Last-Modified: {-100000}\nCache-Control: max-age=abc"),
    ("s4_2_2_not_with_no_cache", "Last-Modified: {-100000}\nCache-Control: no-cache"),
    ("s4_2_2_not_with_no_store", "Last-Modified: {-100000}\nCache-Control: no-store"),
    ("s4_2_2_not_with_private", "Last-Modified: {-100000}\nCache-Control: private"),
    ("s4_2_2_not_beyond_a_tenth", "Last-Modified: {-100}\nAge: 50"),
    ("s4_2_2_not_beyond_a_day", "Last-Modified: {-315360000}\nAge: 90000"),
    ("s4_2_2_not_when_modified_in_the_future", "Last-Modified: {+100000}"),
    ("s4_2_2_not_when_modified_now", "Last-Modified: {0}"),
    ("s4_2_2_not_with_a_bad_date_of_change", "Last-Modified: yesterday"),
    ("s5_2_2_4_no_cache", "Cache-Control: no-cache, max-age=60"),
    ("s5_2_2_4_no_cache_in_any_case", "Cache-Control: max-age=60, NO-Cache"),
    ("s5_2_2_4_no_cache_in_another_field", "Cache-Control: max-age=60\nCache-Control: no-cache"),
    ("s5_2_2_4_no_cache_wins_over_s_maxage", "Cache-Control: s-maxage=60, no-cache"),
    ("s5_2_2_9_public_is_no_freshness", "Cache-Control: public"),
    ("s5_2_2_2_must_revalidate_is_no_freshness", "Cache-Control: must-revalidate"),
];

#[tokio::test(flavor = "multi_thread")]
async fn section_4_2_fresh() {
    run(FRESH.iter().map(|(name, fields)| (*name, vec![asks(ok(fields)), hit(0)])).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn section_4_2_stale() {
    run(STALE.iter().map(|(name, fields)| (*name, vec![asks(ok(fields)), asks(ok(fields))])).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn section_4_2_what_is_left_open_and_what_takes_time() {
    let open = |fields: &str| vec![asks(ok(fields)), either(0, ok(fields))];
    let cases: Vec<Case> = vec![
        // Of several values the first is taken, or all is stale (4.2.1).
        ("s4_2_1_the_greater_max_age_comes_first", open("Cache-Control: max-age=60, max-age=0")),
        ("s4_2_1_the_same_max_age_twice", open("Cache-Control: max-age=60, max-age=60")),
        ("s4_2_1_two_times_of_expires", open("Expires: {+60}\nExpires: {+120}")),
        ("s4_2_1_two_times_of_s_maxage", open("Cache-Control: s-maxage=60, s-maxage=0")),
        ("s5_2_a_quoted_string_without_an_end", open("Cache-Control: ext=\"abc, max-age=60")),
        ("s5_2_no_store_before_a_string_without_an_end", {
            let fields = "Cache-Control: no-store, max-age=60, ext=\"abc";
            vec![asks(ok(fields)), asks(ok(fields))]
        }),
        ("s5_2_max_age_with_blanks_around_the_sign", open("Cache-Control: max-age = 60")),
        ("s5_2_max_age_with_a_semicolon", open("Cache-Control: max-age=60; public")),
        ("s5_2_max_age_with_single_quotes", open("Cache-Control: max-age='60'")),
        ("s5_2_max_age_with_letters_after", open("Cache-Control: max-age=60abc")),
        ("s4_2_1_a_bad_s_maxage_beside_max_age", open("Cache-Control: s-maxage=abc, max-age=60")),
        (
            "s4_2_2_with_a_query",
            vec![asks(ok("Last-Modified: {-100000}")).at("?a=b"), either(0, ok("Last-Modified: {-100000}")).at("?a=b")],
        ),
        ("s4_2_3_without_a_date", vec![asks(ok("Cache-Control: max-age=60").undated()), hit(0)]),
        ("s5_3_without_a_date", vec![asks(ok("Expires: {+60}").undated()), hit(0)]),
        ("s5_3_in_the_past_without_a_date", vec![asks(ok("Expires: {-60}").undated()), asks(ok(""))]),
        ("s4_2_2_without_a_date", vec![asks(ok("Last-Modified: {-100000}").undated()), hit(0)]),
        ("s4_2_3_with_a_date_that_is_none", vec![asks(ok("Cache-Control: max-age=60\nDate: yesterday")), hit(0)]),
        (
            "s4_2_max_age_passes",
            vec![asks(ok("Cache-Control: max-age=1")).pause(2_100), asks(ok("Cache-Control: max-age=60")), hit(1)],
        ),
        ("s4_2_expires_passes", vec![asks(ok("Expires: {+2}")).pause(3_100), asks(ok("Expires: {+60}")), hit(1)]),
    ];
    run(cases).await;
}
