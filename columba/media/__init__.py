"""Media: pictures and other files of messages: kept, checked by their bytes, served by signed links that expire."""
