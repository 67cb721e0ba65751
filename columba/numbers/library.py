"""The phonenumbers library, ready to use. Import this inside functions: it takes 10 to 30 ms and 2 to 4 MB, needlessly
where numbers come in E.164 form. Its geocoder is never imported (184 MB).
"""

import phonenumbers

# Else a stream of many countries' numbers compiles their patterns again and again (128 us a number instead of 3.5).
# There are no more patterns than the metadata has.
phonenumbers.enable_pattern_cache()

__all__ = ["phonenumbers"]
