//! The five views say the same on both stores, to the last digit.

use super::*;

/// Prices whose means end in a half, an hour's end, and users at every stage.
const EVENTS: &str = "
    a=1/ann/view/lamp/0 b=2/ann/view/sofa/1 c=2/bob/view/lamp/3599999999 d=2/cid/view/lamp/3600000000
    e=999/ann/add_to_cart/lamp/3600000001 f=1000/bob/add_to_cart/lamp/7200000000
    g=999999999/ann/purchase/lamp/7200000000 h=250/ann/purchase/sofa/7200000001 i=250/bob/purchase/sofa/9
    j=500/dan/purchase/desk/10";

const QUERIES: [(&str, &str); 5] = [
    (
        "SELECT event_type, total_events, unique_users, CAST(avg_price AS text), CAST(total_value AS text)
         FROM v_event_summary",
        "add_to_cart 2 2 10.00 19.99\npurchase 4 3 2500002.50 10000009.99\nview 4 3 0.02 0.07",
    ),
    (
        "SELECT substr(replace(CAST(hour AS text), 'T', ' '), 1, 13), event_type, events, unique_users,
             CAST(value AS text)
         FROM v_hourly_events",
        "2025-01-01 00 purchase 2 2 7.50\n2025-01-01 00 view 3 2 0.05\n2025-01-01 01 add_to_cart 1 1 9.99\n\
         2025-01-01 01 view 1 1 0.02\n2025-01-01 02 add_to_cart 1 1 10.00\n2025-01-01 02 purchase 2 1 10000002.49",
    ),
    (
        "SELECT stage, event_type, users, products, CAST(step_conversion_percent AS text),
             CAST(total_conversion_percent AS text)
         FROM v_purchase_funnel",
        "1 view 3 2 NULL 100.00\n2 add_to_cart 2 1 66.67 66.67\n3 purchase 3 3 150.00 100.00",
    ),
    (
        "SELECT product_id, product_name, purchases, CAST(revenue AS text) FROM v_top_products",
        "lamp Crème, 2 m 1 9999999.99\ndesk Crème, 2 m 1 5.00\nsofa Crème, 2 m 2 5.00",
    ),
    (
        "SELECT event_id, user_id, product_id, category, CAST(price AS text), event_type FROM v_recent_activity
         LIMIT 3",
        "h ann sofa Home 2.50 purchase\ng ann lamp Home 9999999.99 purchase\nf bob lamp Home 10.00 add_to_cart",
    ),
];

fn views_say_the_same<S: Store>() {
    let mut shop = Shop::<S>::new();
    let empty = "1 view 0 0 NULL NULL\n2 add_to_cart 0 0 NULL NULL\n3 purchase 0 0 NULL NULL";
    for (query, _) in QUERIES {
        let expected = if query.contains("funnel") { empty } else { "" };
        assert_eq!(shop.store.text(query), expected, "{query}");
    }
    shop.commit(EVENTS);
    for (query, expected) in QUERIES {
        assert_eq!(shop.store.text(query), expected, "{query}");
    }
    let many: Vec<_> = (0..200).map(|number| format!("m{number}=1/u/view/p/{number}")).collect();
    shop.commit(&many.join(" "));
    assert_eq!(shop.store.text("SELECT count(*) FROM v_recent_activity"), "100");
    // Half of a hundredth is rounded away from zero: 203 ÷ 204 and the like.
    assert_eq!(
        shop.store.text("SELECT CAST(avg_price AS text) FROM v_event_summary WHERE event_type = 'view'"),
        "0.01"
    );
}

on_both![views_say_the_same,];
