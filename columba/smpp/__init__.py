"""SMPP 3.4, both sides, without I/O; and a thin asyncio shell in `stream`.

Usable by itself: it imports nothing else of this project. `pdu` has the PDUs, `codec` turns them to octets and back,
`session` knows who may say what when, `receipt` and `times` read what is written inside of fields, `tlv`, `values` and
`status` name the numbers, `trace` shows a PDU to a person, `watch` counts them. All that it raises is an SmppError.
"""
