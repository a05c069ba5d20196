"""`fracture-screen demo`: the whole product on free loopback ports, with a stand-in PACS.

Nothing of the product imports this package.
"""
