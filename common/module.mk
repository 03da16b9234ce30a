common_src := common/why.c common/text.c common/log.c common/fault.c common/crc32c.c common/progress.c
