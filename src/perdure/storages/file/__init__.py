"""storages/file"""
