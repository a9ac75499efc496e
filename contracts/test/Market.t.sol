// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";
import {Messages} from "../src/libraries/Messages.sol";

/// @notice P1.5 and the few calls without a file of their own.
contract MarketTest is Base {
    function test_constructor_keepsItsLimits() public view {
        assertEq(abi.encode(market.limits()), abi.encode(_limits()));
        assertEq(market.token(), address(token));
        assertEq(market.beacon(), address(0));
        assertEq(market.seatStake(), STAKE);
        assertEq(market.minimumFee(), 0.01e18);
        assertEq(market.NO_KEYS(), NO_KEYS);
        assertEq(market.REQUESTER(), REQUESTER);
    }

    function test_constructor_refusesBadLimits() public {
        Limits memory limits = _limits();
        limits.reveal.least = 0;
        _refused(address(token), 1e18, limits, BadLimits.selector);
        limits = _limits();
        limits.work.least = limits.work.greatest + 1;
        _refused(address(token), 1e18, limits, BadLimits.selector);
        limits = _limits();
        limits.challenge.greatest = 1 << 24;
        _refused(address(token), 1e18, limits, BadLimits.selector);
        _refused(address(token), 0, _limits(), BadLimits.selector);
        _refused(address(token), STAKE / 32 + 1, _limits(), BadLimits.selector);
        _refused(address(0), 1e18, _limits(), ZeroAddress.selector);
    }

    function test_announce_emitsAndStoresNothing() public {
        vm.expectEmit(address(market));
        emit Announced(stranger, "hello");
        vm.prank(stranger);
        market.announce("hello");
    }

    function test_readers_ofUnknownJobs_areEmpty() public {
        assertEq(uint8(market.getJob(WORD).state), uint8(State.None));
        assertEq(market.getRound(WORD, 1).seats.length, 0);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, WORD, State.None));
        market.committee(WORD);
    }

    /// @notice The one calldata copy in Messages against EIP-712 spelled out field by field.
    function testFuzz_hashTerms_isEip712(JobTerms calldata terms) public view {
        bytes32[] memory parents = new bytes32[](terms.parents.length);
        for (uint256 i; i < parents.length; ++i) {
            Parent calldata parent = terms.parents[i];
            parents[i] = keccak256(
                abi.encode(
                    keccak256("Parent(bytes32 artifact,address payee,uint16 bps)"),
                    parent.artifact,
                    parent.payee,
                    parent.bps
                )
            );
        }
        bytes memory encoded = bytes.concat(
            abi.encode(Messages.TERMS_TYPEHASH, terms.requester, terms.wrapKey, terms.lanes, terms.priceCap),
            abi.encode(terms.floor, terms.target, terms.floorPay, terms.metric, terms.scorer, terms.operationCap),
            abi.encode(terms.shardBytes, terms.weightsBytes, terms.taskHash, terms.dataRoot, terms.shards),
            abi.encode(terms.heldOut, terms.committee, terms.fee, terms.bond, terms.collateral, terms.bidWindow),
            abi.encode(terms.workWindow, terms.releaseWindow, terms.commitWindow, terms.revealWindow),
            abi.encode(terms.challengeWindow, terms.salt, keccak256(abi.encodePacked(parents)))
        );
        assertEq(market.hashTerms(terms), _typed(keccak256(encoded)));
    }

    function testFuzz_hashBid_isEip712(Bid calldata bid) public view {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Bid(bytes32 job,address provider,uint96 price,bytes32 wrapKey,uint64 validUntil,uint256 nonce)"
                ),
                bid.job,
                bid.provider,
                bid.price,
                bid.wrapKey,
                bid.validUntil,
                bid.nonce
            )
        );
        assertEq(market.hashBid(bid), _typed(structHash));
    }

    function _typed(bytes32 structHash) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Heldout"),
                keccak256("1"),
                block.chainid,
                address(market)
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", domain, structHash));
    }

    function _refused(address token_, uint96 fee, Limits memory limits, bytes4 reason) private {
        vm.expectRevert(reason);
        _deployResolution(token_, STAKE, fee, address(0), limits);
    }
}
